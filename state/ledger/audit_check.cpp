#include "state/ledger/audit_check.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <map>
#include <optional>
#include <string_view>

#include "state/base/durable_file.h"
#include "state/base/sha256.h"
#include "state/ledger/audit.h"

namespace switchback {
namespace {

struct Link {
  std::uint64_t seq = 0;
  std::string prev;
};

std::optional<Link> read_link(const std::string& line) {
  simdjson::dom::parser parser;
  simdjson::dom::object root;
  Link link;
  std::string_view prev;
  if (parser.parse(line).get(root) || root["seq"].get(link.seq) || root["prev"].get(prev)) {
    return std::nullopt;
  }
  link.prev = prev;
  return link;
}

std::string span_words(std::uint64_t first, std::uint64_t last) {
  return first == last ? fmt::format("entry {} was", first)
                       : fmt::format("entries {} to {} were", first, last);
}

/// The files that entries vouch for by their hashes: certificates and their pages. A bridge that
/// was abandoned and began anew may write one again: the last word on it counts.
class Vouched {
 public:
  void take(const std::string& line) {
    simdjson::dom::parser parser;
    simdjson::dom::object root, detail;
    std::string_view event;
    std::uint64_t seq = 0;
    if (parser.parse(line).get(root) || root["event"].get(event) || event != kCertificateEvent ||
        root["seq"].get(seq) || root["detail"].get(detail)) {
      return;
    }
    for (const auto& [file, hash] : {std::pair("path", "hash"), std::pair("page", "page_hash")}) {
      std::string_view path, expected;
      if (detail[file].get(path) || detail[hash].get(expected)) continue;
      files_[std::filesystem::path(path).filename()] = {seq, std::string(expected)};
    }
  }

  void compare(const std::filesystem::path& folder, std::vector<std::string>& faults) const {
    for (const auto& [name, word] : files_) {
      const auto path = folder / name;
      if (!std::filesystem::exists(path)) {
        faults.push_back(
            fmt::format("{} is gone, of which entry {} speaks", path.string(), word.seq));
      } else if (sha256_of(read_file(path)) != word.hash) {
        faults.push_back(fmt::format("{} was changed since entry {}", path.string(), word.seq));
      }
    }
  }

 private:
  struct Word {
    std::uint64_t seq;
    std::string hash;
  };
  std::map<std::string, Word> files_;  // by name: the state directory may have moved
};

class Check {
 public:
  explicit Check(std::vector<std::string>& faults) : faults_(faults) {}

  void take(std::size_t number, const std::string& line) {
    const auto link = read_link(line);
    if (!link) {
      faults_.push_back(fmt::format("line {} was changed: it is no entry", number));
      ++seq_;
    } else {
      compare(*link);
      seq_ = link->seq;
    }
    hash_ = sha256_of(line);
  }

  void end(const std::string& text) {
    const auto [seq, hash] = parse_audit_head(text);
    if (seq == 0) {
      // After the very first line a crash may have come before the head.
      if (seq_ > 1) faults_.emplace_back("audit.head is gone: the end of the log may be, too");
    } else if (seq > seq_) {
      faults_.push_back(span_words(seq_ + 1, seq) + " removed from the end");
    } else if (seq == seq_ && hash != hash_) {
      faults_.push_back(fmt::format("entry {}, the last one, was changed", seq));
    } else if (seq + 1 < seq_ || (seq + 1 == seq_ && hash != before_)) {
      faults_.push_back(
          fmt::format("audit.head was changed: it says that entry {} is the last", seq));
    }
  }

 private:
  void compare(const Link& link) {
    before_ = link.prev;
    const bool linked = link.prev == hash_;
    if (link.seq == seq_ + 1) {
      if (!linked) faults_.push_back(fmt::format("entry {} was changed", seq_ == 0 ? 1 : seq_));
    } else if (link.seq > seq_ + 1) {
      faults_.push_back(span_words(seq_ + 1, link.seq - 1) + " removed");
    } else {
      faults_.push_back(
          fmt::format("entry {} is out of its order: it stands after entry {}", link.seq, seq_));
    }
  }

  std::vector<std::string>& faults_;
  std::uint64_t seq_ = 0;
  std::string hash_;    // of the line before
  std::string before_;  // what the last line says of the one before it
};

}  // namespace

AuditFindings check_audit(const std::filesystem::path& state_dir) {
  // The head first: a sidecar may append meanwhile.
  const std::string head = read_file(state_dir / kAuditHead);
  const std::string text = read_file(state_dir / kAuditFile);
  AuditFindings found;
  Check check(found.faults);
  Vouched vouched;
  std::size_t at = 0;
  for (std::size_t end = 0; (end = text.find('\n', at)) != text.npos; at = end + 1) {
    found.lines.push_back(text.substr(at, end - at));
    check.take(found.lines.size(), found.lines.back());
    vouched.take(found.lines.back());
  }
  found.unfinished = at != text.size();
  check.end(head);
  vouched.compare(state_dir / kCertificates, found.faults);
  return found;
}

}  // namespace switchback
