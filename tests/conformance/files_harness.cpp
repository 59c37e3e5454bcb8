#include <fcntl.h>
#include <simdjson.h>
#include <sys/file.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <system_error>

#include "state/base/unique_fd.h"
#include "tests/conformance/harnesses.h"
#include "tests/support/temp_folder.h"
#include "watchers/files/files_endpoint.h"
#include "watchers/files/mapping_text.h"
#include "watchers/files/path_pattern.h"

namespace switchback {
namespace {

/// As long as it lives, this thread's rights to files are those of nobody: mode bits keep out no
/// root.
class AsNobody {
 public:
  AsNobody() : user_(::setfsuid(kNobody)), group_(::setfsgid(kNobody)) {}
  ~AsNobody() {
    ::setfsuid(static_cast<uid_t>(user_));
    ::setfsgid(static_cast<gid_t>(group_));
  }
  AsNobody(const AsNobody&) = delete;
  AsNobody& operator=(const AsNobody&) = delete;

 private:
  static constexpr uid_t kNobody = 65534;
  const int user_, group_;
};

Collection collection(const std::filesystem::path& root, const Mapping& mapping, TableId id) {
  const TableMap& map = mapping.table(id);
  Collection out;
  out.name = map.table;
  out.root = root;
  out.files.push_back(parse_file_pattern(map.table + ".json"));
  out.records = parse_records("/*");
  out.lock = "{path}.lock";
  TableSource table;
  table.table = id;
  table.level = make_levels(out, {""}).front();
  for (const ColumnMap& column : map.columns) {
    ColumnSource source;
    source.from.push_back(parse_source("/" + column.name));
    table.columns.push_back(std::move(source));
  }
  out.tables.push_back(std::move(table));
  link_collection(mapping, out);
  return out;
}

/// An application that keeps its parents in one JSON file, rewrites it whole and honours its lock.
class FilesHarness : public Harness {
 public:
  FilesHarness() {
    std::filesystem::create_directory(root());
    ::chmod(folder_.path().c_str(), 0755);
    ::chmod(root().c_str(), 0777);
    write([](Parents&) {});
    auto documents = std::make_shared<DocumentMap>();
    documents->store = "app";
    documents->collections.push_back(collection(root(), *mapping_, kParent));
    documents->collections.push_back(collection(root(), *mapping_, kChild));
    documents_ = documents;
  }

  std::unique_ptr<Endpoint> open() override {
    return open_files({.ledger = folder_ / "files.db", .spool_folder = folder_}, mapping_,
                      documents_);
  }
  bool begins_open() const override { return true; }
  bool put_parent(int id, const std::string& name) override {
    return put_parents(id, id, name, true);
  }
  bool remove_parent(int id) override {
    return write([&](Parents& parents) { parents.erase(id); });
  }
  bool put_parents(int first, int last, const std::string& name, bool commit) override {
    // Whoever keeps files has no transactions: what it does not want it does not write.
    if (!commit) return true;
    return write([&](Parents& parents) {
      for (int id = first; id <= last; ++id) {
        parents[id] = "{\"id\": " + std::to_string(id) + ", \"name\": \"" + name + "\"}";
      }
    });
  }
  std::map<int, std::string> parents() override {
    std::map<int, std::string> found;
    simdjson::dom::parser parser;
    for (const auto& [id, record] : records()) {
      found[id] = std::string(parser.parse(record)["name"].get_string().value());
    }
    return found;
  }

 private:
  using Parents = std::map<int, std::string>;  // id -> the record's JSON

  Parents records() {
    simdjson::dom::parser parser;
    Parents found;
    simdjson::dom::array records;
    if (parser.load(file()).get(records) != simdjson::SUCCESS) return found;
    for (const simdjson::dom::element record : records) {
      found[static_cast<int>(record["id"].get_int64().value())] = simdjson::minify(record);
    }
    return found;
  }

  std::filesystem::path root() const { return folder_ / "data"; }
  std::string file() const { return (root() / "parent.json").string(); }

  /// False: permission denied, which is how the fence speaks.
  bool write(const std::function<void(Parents&)>& change) {
    const AsNobody nobody;
    UniqueFd lock;
    for (;;) {
      lock = UniqueFd(::open((file() + ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666));
      if (!lock) return refused();
      if (::flock(lock.get(), LOCK_EX) != 0) return refused();
      struct stat named {
      }, held{};
      ::fstat(lock.get(), &held);
      if (::stat((file() + ".lock").c_str(), &named) == 0 && named.st_ino == held.st_ino) break;
    }
    Parents rows = records();
    change(rows);
    std::string text = "[";
    for (const auto& [id, record] : rows) text += (text.size() > 1 ? ",\n  " : "\n  ") + record;
    text += "\n]\n";
    const UniqueFd fd(::open(file().c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    if (!fd) return refused();
    return ::write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
  }
  static bool refused() {
    if (errno == EACCES) return false;
    throw std::system_error(errno, std::generic_category(), "the application's write");
  }

  test::TempFolder folder_;
  const std::shared_ptr<const Mapping> mapping_ = test_mapping();
  std::shared_ptr<const DocumentMap> documents_;
};

}  // namespace

std::unique_ptr<Harness> make_files_harness() {
  return std::make_unique<FilesHarness>();
}

}  // namespace switchback
