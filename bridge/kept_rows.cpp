#include "bridge/kept_rows.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "bridge/verify/columns.h"
#include "state/base/durable_file.h"
#include "state/base/failpoint.h"
#include "state/base/file_calls.h"
#include "state/base/json_text.h"
#include "state/base/utc_text.h"
#include "state/ports/endpoint.h"

namespace switchback {

void KeptRows::begin() {
  make_folder(folder_, 0700);
  std::string name = utc_text_ms(std::chrono::system_clock::now());
  std::erase_if(name, [](char c) { return c == ':' || c == '-'; });
  path_ = folder_ / (std::string(to_string(of_)) + "-" + name + ".jsonl");
  replace_file(path_, "", 0600);
  fd_ = UniqueFd(::open(path_.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
  if (!fd_) fail_with_errno(path_, "open");
}

void KeptRows::add(const TableMap& map, const Chunk& rows) {
  std::string lines;
  for (const Change& change : rows.changes()) {
    if (change.op != Op::kUpsert) continue;
    JsonWriter json;
    json.begin_object().member("table", qualified_name(map)).key("row").begin_object();
    const auto row = rows.row(change);
    for (std::size_t i = 0; i < row.size(); ++i) {
      json.key(map.columns[i].name);
      row[i].kind == Kind::kNull ? json.null() : json.value(whole_value(row[i], rows));
    }
    lines += json.end_object().end_object().take() + "\n";
    ++count_;
  }
  if (lines.empty()) return;
  if (!fd_) begin();
  write_all(fd_.get(), lines, path_);
  failpoint("kept.sync.before");
  if (::fsync(fd_.get()) != 0) fail_with_errno(path_, "sync");
  failpoint("kept.sync.after");
}

}  // namespace switchback
