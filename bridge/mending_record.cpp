#include "bridge/mending_record.h"

#include <fmt/format.h>

#include <algorithm>
#include <sstream>

#include "state/base/durable_file.h"
#include "state/base/error.h"
#include "state/base/failpoint.h"

namespace switchback {
namespace {

// "primary SIDE by NAME", or "none".
constexpr const char* kNone = "none\n";

}  // namespace

void MendingRecord::begin(const MendingBegun& begun) {
  std::string by = begun.by;
  std::replace(by.begin(), by.end(), '\n', ' ');
  failpoint("mending.begin.before");
  replace_file(file_, fmt::format("primary {} by {}\n", to_string(begun.primary), by), 0600);
  failpoint("mending.begin.after");
}

void MendingRecord::end() {
  const std::string text = read_file(file_);
  if (text.empty() || text == kNone) return;
  failpoint("mending.end.before");
  replace_file(file_, kNone, 0600);
  failpoint("mending.end.after");
}

std::optional<MendingBegun> MendingRecord::pending() const {
  const std::string text = read_file(file_);
  if (text.empty() || text == kNone) return std::nullopt;
  std::istringstream in(text);
  std::string primary, side, by;
  in >> primary >> side >> by;
  const auto right = parse_side(side);
  if (!in || primary != "primary" || !right || by != "by") {
    throw Error(ErrorKind::kData, Retry::kNever, "this is no record of who is right",
                {.object = file_.string(),
                 .next = "keep the file aside, see with `switchback doctor` what each side has, "
                         "and say with `switchback doctor --fix --primary old` (or postgres) "
                         "which of them is right"});
  }
  MendingBegun begun{*right, {}};
  std::getline(in >> std::ws, begun.by);
  return begun;
}

void MendingRecord::require_none() const {
  const auto begun = pending();
  if (!begun) return;
  throw Error(ErrorKind::kHistory, Retry::kNever,
              fmt::format("`switchback doctor --fix` by {} has not come to its end; {} is the one "
                          "that is right",
                          begun->by, to_string(begun->primary)),
              {.object = file_.string(),
               .next = "`switchback doctor --fix` goes on with it; until then no side is opened "
                       "and no change flows"});
}

}  // namespace switchback
