#include "watchers/sqlite/unsynced_files.h"

#ifdef SWITCHBACK_TEST_BUILD
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <utility>

namespace switchback {
namespace {

constexpr std::uint64_t kSector = 512;
// Beyond this the oldest are taken to have reached the disk by themselves, as a kernel does.
constexpr std::uint64_t kMostBytes = std::uint64_t{256} << 20;

std::string folder_of(const std::string& path) {
  return std::filesystem::path(path).parent_path().string();
}

void put(int fd, std::string_view bytes, std::uint64_t offset) {
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n <= 0) return;
    bytes.remove_prefix(static_cast<std::size_t>(n));
    offset += static_cast<std::uint64_t>(n);
  }
}

}  // namespace

void UnsyncedFiles::created(const std::string& path) {
  files_[path].name_durable = false;
}

void UnsyncedFiles::wrote(const std::string& path, UnsyncedWrite write) {
  File& file = files_[path];
  write.order = ++order_;
  file.bytes += write.before.size() + sizeof(UnsyncedWrite);
  file.writes.push_back(std::move(write));
  if (file.bytes <= kMostBytes) return;
  const auto half = static_cast<std::ptrdiff_t>(file.writes.size() / 2);
  file.writes.erase(file.writes.begin(), file.writes.begin() + half);
  file.bytes = 0;
  for (const auto& one : file.writes) file.bytes += one.before.size() + sizeof(UnsyncedWrite);
}

void UnsyncedFiles::deleted(const std::string& path, std::string contents) {
  File file = std::exchange(files_[path], {});
  files_.erase(path);
  if (file.name_durable) deleted_.push_back({path, std::move(contents), std::move(file)});
}

void UnsyncedFiles::folder_synced(const std::string& path) {
  const std::string folder = folder_of(path);
  deleted_.remove_if([&](const Deleted& one) { return folder_of(one.path) == folder; });
  for (auto& [name, file] : files_) {
    if (folder_of(name) == folder) file.name_durable = true;
  }
}

void UnsyncedFiles::probe(const std::string& path, std::uint64_t offset, std::string bytes) {
  File& file = files_[path];
  file.probe_at = offset;
  file.probe = std::move(bytes);
}

void UnsyncedFiles::synced(const std::string& path, std::uint64_t covered) {
  const std::lock_guard lock(mutex_);
  const auto found = files_.find(path);
  if (found == files_.end()) return;
  File& file = found->second;
  std::erase_if(file.writes, [&](const UnsyncedWrite& one) { return one.order <= covered; });
  file.bytes = 0;
  for (const auto& one : file.writes) file.bytes += one.before.size() + sizeof(UnsyncedWrite);
  file.name_durable = true;
}

/// Another process has written behind our last write, or into a file that we have only made. A sync
/// of theirs covered what is ours: the file's name too, which SQLite syncs with a journal's bytes.
bool UnsyncedFiles::others_wrote(int fd, const File& file) {
  struct stat status {};
  if (file.writes.empty()) return ::fstat(fd, &status) == 0 && status.st_size > 0;
  std::string now(file.probe.size(), '\0');
  const ssize_t n = ::pread(fd, now.data(), now.size(), static_cast<off_t>(file.probe_at));
  now.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
  return now != file.probe;
}

/// True if the file is gone with its name.
bool UnsyncedFiles::lose_name(const std::string& path, File& file) {
  if (file.name_durable) return false;
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  file.name_durable = fd >= 0 && others_wrote(fd, file);
  if (file.name_durable || !chance(2)) return false;
  ::unlink(path.c_str());
  return true;
}

/// Newest write first, sector by sector: a sector has reached the disk in the state that some
/// write left it in, and every later write to it is lost.
void UnsyncedFiles::undo(const std::string& path, const File& file) {
  if (file.writes.empty()) return;
  // The process ends before this descriptor is closed, so no lock of SQLite's is dropped early.
  const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return;
  if (others_wrote(fd, file)) return;

  const int keep_one_in = chance(3) ? 0 : static_cast<int>(2 + random_() % 6);
  std::set<std::uint64_t> on_disk;
  std::uint64_t end = file.writes.front().size_before;
  for (auto write = file.writes.rbegin(); write != file.writes.rend(); ++write) {
    const std::uint64_t stop = write->offset + write->length;
    for (std::uint64_t at = write->offset; at < stop;) {
      const std::uint64_t sector = at / kSector;
      const std::uint64_t next = std::min(stop, (sector + 1) * kSector);
      const bool kept = on_disk.contains(sector) || (keep_one_in != 0 && chance(keep_one_in));
      if (kept) {
        on_disk.insert(sector);
        end = std::max(end, next);
      } else {
        std::string before(next - at, '\0');
        const std::uint64_t from = at - write->offset;
        if (from < write->before.size()) write->before.copy(before.data(), before.size(), from);
        put(fd, before, at);
      }
      at = next;
    }
  }
  struct stat status {};
  if (::fstat(fd, &status) == 0 && static_cast<std::uint64_t>(status.st_size) > end) {
    [[maybe_unused]] const int cut = ::ftruncate(fd, static_cast<off_t>(end));
  }
}

void UnsyncedFiles::lose() {
  mutex_.lock();
  for (auto& [path, file] : files_) {
    if (!lose_name(path, file)) undo(path, file);
  }
  for (auto one = deleted_.rbegin(); one != deleted_.rend(); ++one) {
    if (chance(2)) continue;
    // Another process has made a file of that name since: its first sync made our removal durable.
    const auto ours = files_.find(one->path);
    const bool made_by_us = ours != files_.end() && !ours->second.name_durable;
    if (!made_by_us && ::access(one->path.c_str(), F_OK) == 0) continue;
    const int fd = ::open(one->path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) continue;
    put(fd, one->contents, 0);
    undo(one->path, one->file);
  }
}

}  // namespace switchback
#endif
