// What the power-loss shim remembers: the undo log of everything that was written and not synced,
// and what to do with it when the power fails. Test builds only. Thread-safe.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <mutex>
#include <random>
#include <string>
#include <vector>

namespace switchback {

/// One write or truncation: `before` is what the file had at [offset, offset + length), cut short
/// where the file ended.
struct UnsyncedWrite {
  std::uint64_t order = 0;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  std::uint64_t size_before = 0;
  std::string before;
};

class UnsyncedFiles {
 public:
  explicit UnsyncedFiles(std::uint64_t seed) : random_(seed) {}

  /// Held around a write and its note, so that undoing sees writes in their true order.
  std::mutex& order() { return mutex_; }

  // With order() held.
  void created(const std::string& path);
  void wrote(const std::string& path, UnsyncedWrite write);
  /// `contents` is what the file had.
  void deleted(const std::string& path, std::string contents);
  void folder_synced(const std::string& path);
  std::uint64_t latest() const { return order_; }
  /// The 24 bytes behind the last write of a -wal: another writer's frame would begin there.
  void probe(const std::string& path, std::uint64_t offset, std::string bytes);

  /// A sync of `path` ended that began when latest() was `covered`.
  void synced(const std::string& path, std::uint64_t covered);

  /// Takes a random part back. Keeps order() for ever: the process is about to end.
  void lose();

 private:
  struct File {
    bool name_durable = true;
    std::vector<UnsyncedWrite> writes;
    std::uint64_t bytes = 0;
    std::uint64_t probe_at = 0;
    std::string probe;
  };
  struct Deleted {
    std::string path;
    std::string contents;
    File file;
  };

  static bool others_wrote(int fd, const File& file);
  bool lose_name(const std::string& path, File& file);
  void undo(const std::string& path, const File& file);
  bool chance(int in) { return random_() % static_cast<unsigned>(in) == 0; }

  std::mutex mutex_;
  std::mt19937_64 random_;
  std::uint64_t order_ = 0;
  std::map<std::string, File> files_;
  std::list<Deleted> deleted_;
};

}  // namespace switchback
