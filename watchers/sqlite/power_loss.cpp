#include "watchers/sqlite/power_loss.h"

#ifdef SWITCHBACK_TEST_BUILD
#include <poll.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <mutex>
#include <new>
#include <string>

#include "state/base/failpoint.h"
#include "watchers/sqlite/unsynced_files.h"

namespace switchback {
namespace {

// https://www.sqlite.org/vfs.html: a shim registered by its C structures, so there is one of each
// per process; they live until the process ends.
sqlite3_vfs* real_vfs = nullptr;
sqlite3_vfs shim_vfs;
UnsyncedFiles* unsynced = nullptr;

constexpr int kTrackedKinds = SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_WAL;
constexpr int kFrameHeaderBytes = 24;

struct ShimFile {
  sqlite3_file base;
  std::string* path;  // null: a temporary file, of which nothing survives anyway
  bool is_wal;
  bool syncs_folder;   // SQLite syncs a journal's folder at the journal's first sync
  sqlite3_file* real;  // in the same allocation, behind this
};

ShimFile& shim(sqlite3_file* file) {
  return *reinterpret_cast<ShimFile*>(file);
}

std::string read_range(sqlite3_file* real, std::uint64_t offset, std::uint64_t length) {
  sqlite3_int64 size = 0;
  real->pMethods->xFileSize(real, &size);
  const auto end = std::min(offset + length, static_cast<std::uint64_t>(size));
  if (offset >= end) return {};
  std::string bytes(end - offset, '\0');
  real->pMethods->xRead(real, bytes.data(), static_cast<int>(bytes.size()),
                        static_cast<sqlite3_int64>(offset));
  return bytes;
}

std::uint64_t size_of(sqlite3_file* real) {
  sqlite3_int64 size = 0;
  real->pMethods->xFileSize(real, &size);
  return static_cast<std::uint64_t>(size);
}

int shim_close(sqlite3_file* file) {
  ShimFile& self = shim(file);
  const std::unique_ptr<std::string> path(self.path);
  return self.real->pMethods->xClose(self.real);
}

int shim_read(sqlite3_file* file, void* buffer, int bytes, sqlite3_int64 offset) {
  sqlite3_file* real = shim(file).real;
  return real->pMethods->xRead(real, buffer, bytes, offset);
}

int shim_write(sqlite3_file* file, const void* buffer, int bytes, sqlite3_int64 offset) {
  const ShimFile& self = shim(file);
  if (self.path == nullptr) return self.real->pMethods->xWrite(self.real, buffer, bytes, offset);
  const std::lock_guard lock(unsynced->order());
  UnsyncedWrite write;
  write.offset = static_cast<std::uint64_t>(offset);
  write.length = static_cast<std::uint64_t>(bytes);
  write.size_before = size_of(self.real);
  write.before = read_range(self.real, write.offset, write.length);
  const std::uint64_t end = write.offset + write.length;
  const int code = self.real->pMethods->xWrite(self.real, buffer, bytes, offset);
  unsynced->wrote(*self.path, std::move(write));
  if (self.is_wal) unsynced->probe(*self.path, end, read_range(self.real, end, kFrameHeaderBytes));
  return code;
}

int shim_truncate(sqlite3_file* file, sqlite3_int64 size) {
  const ShimFile& self = shim(file);
  if (self.path == nullptr) return self.real->pMethods->xTruncate(self.real, size);
  const std::lock_guard lock(unsynced->order());
  UnsyncedWrite write;
  write.size_before = size_of(self.real);
  write.offset = static_cast<std::uint64_t>(size);
  if (write.offset < write.size_before) {
    write.length = write.size_before - write.offset;
    write.before = read_range(self.real, write.offset, write.length);
    unsynced->wrote(*self.path, std::move(write));
  }
  return self.real->pMethods->xTruncate(self.real, size);
}

int shim_sync(sqlite3_file* file, int flags) {
  ShimFile& self = shim(file);
  if (self.path == nullptr) return self.real->pMethods->xSync(self.real, flags);
  std::uint64_t covered = 0;
  {
    const std::lock_guard lock(unsynced->order());
    covered = unsynced->latest();
  }
  const int code = self.real->pMethods->xSync(self.real, flags);
  if (code != SQLITE_OK) return code;
  unsynced->synced(*self.path, covered);
  if (self.syncs_folder) {
    const std::lock_guard lock(unsynced->order());
    unsynced->folder_synced(*self.path);
    self.syncs_folder = false;
  }
  return SQLITE_OK;
}

int shim_size(sqlite3_file* file, sqlite3_int64* size) {
  sqlite3_file* real = shim(file).real;
  return real->pMethods->xFileSize(real, size);
}
int shim_lock(sqlite3_file* file, int level) {
  sqlite3_file* real = shim(file).real;
  return real->pMethods->xLock(real, level);
}
int shim_unlock(sqlite3_file* file, int level) {
  sqlite3_file* real = shim(file).real;
  return real->pMethods->xUnlock(real, level);
}
int shim_reserved(sqlite3_file* file, int* held) {
  sqlite3_file* real = shim(file).real;
  return real->pMethods->xCheckReservedLock(real, held);
}
int shim_control(sqlite3_file* file, int op, void* argument) {
  sqlite3_file* real = shim(file).real;
  return real->pMethods->xFileControl(real, op, argument);
}
int shim_sector(sqlite3_file* file) {
  sqlite3_file* real = shim(file).real;
  return real->pMethods->xSectorSize(real);
}
int shim_device(sqlite3_file* file) {
  sqlite3_file* real = shim(file).real;
  return real->pMethods->xDeviceCharacteristics(real);
}
int shim_shm_map(sqlite3_file* file, int page, int bytes, int extend, void volatile** memory) {
  sqlite3_file* real = shim(file).real;
  return real->pMethods->xShmMap(real, page, bytes, extend, memory);
}
int shim_shm_lock(sqlite3_file* file, int offset, int count, int flags) {
  sqlite3_file* real = shim(file).real;
  return real->pMethods->xShmLock(real, offset, count, flags);
}
void shim_shm_barrier(sqlite3_file* file) {
  sqlite3_file* real = shim(file).real;
  real->pMethods->xShmBarrier(real);
}
int shim_shm_unmap(sqlite3_file* file, int remove) {
  sqlite3_file* real = shim(file).real;
  return real->pMethods->xShmUnmap(real, remove);
}

// Version 2: without xFetch, so that every page goes through shim_read and shim_write.
constexpr sqlite3_io_methods kShimMethods = {
    .iVersion = 2,
    .xClose = shim_close,
    .xRead = shim_read,
    .xWrite = shim_write,
    .xTruncate = shim_truncate,
    .xSync = shim_sync,
    .xFileSize = shim_size,
    .xLock = shim_lock,
    .xUnlock = shim_unlock,
    .xCheckReservedLock = shim_reserved,
    .xFileControl = shim_control,
    .xSectorSize = shim_sector,
    .xDeviceCharacteristics = shim_device,
    .xShmMap = shim_shm_map,
    .xShmLock = shim_shm_lock,
    .xShmBarrier = shim_shm_barrier,
    .xShmUnmap = shim_shm_unmap,
    .xFetch = nullptr,
    .xUnfetch = nullptr,
};

int shim_open(sqlite3_vfs*, const char* name, sqlite3_file* file, int flags, int* out_flags) {
  auto* self = new (file) ShimFile{};
  self->real = reinterpret_cast<sqlite3_file*>(self + 1);
  const bool tracked = name != nullptr && (flags & kTrackedKinds) != 0;
  const bool is_new = tracked && (flags & SQLITE_OPEN_CREATE) != 0 && ::access(name, F_OK) != 0;
  const int code = real_vfs->xOpen(real_vfs, name, self->real, flags, out_flags);
  if (self->real->pMethods == nullptr) return code;  // then there is nothing to close
  self->base.pMethods = &kShimMethods;
  if (!tracked || code != SQLITE_OK) return code;
  self->path = std::make_unique<std::string>(name).release();  // until shim_close()
  self->is_wal = (flags & SQLITE_OPEN_WAL) != 0;
  self->syncs_folder = (flags & SQLITE_OPEN_MAIN_DB) == 0 && (flags & SQLITE_OPEN_CREATE) != 0;
  if (is_new) {
    const std::lock_guard lock(unsynced->order());
    unsynced->created(*self->path);
  }
  return code;
}

int shim_delete(sqlite3_vfs*, const char* name, int sync_folder) {
  const std::lock_guard lock(unsynced->order());
  std::string contents;
  {
    // A journal or -wal: SQLite keeps no locks on these, so closing the file drops none.
    std::ifstream file(name, std::ios::binary);
    contents.assign(std::istreambuf_iterator<char>(file), {});
  }
  const int code = real_vfs->xDelete(real_vfs, name, sync_folder);
  if (code != SQLITE_OK) return code;
  unsynced->deleted(name, std::move(contents));
  if (sync_folder != 0) unsynced->folder_synced(name);
  return code;
}

/// The power fails for every process of a machine: nothing that the application is told from here
/// on may count.
void end_peer() {
  const char* peer = std::getenv("SWITCHBACK_POWER_PEER");
  if (peer == nullptr) return;
  // Readable when the process has ended: pidfd_open(2).
  const int ended = static_cast<int>(::syscall(SYS_pidfd_open, std::strtol(peer, nullptr, 10), 0));
  if (ended < 0) return;
  ::syscall(SYS_pidfd_send_signal, ended, SIGKILL, nullptr, 0);
  pollfd look{ended, POLLIN, 0};
  ::poll(&look, 1, -1);
}

std::uint64_t seed() {
  if (const char* given = std::getenv("SWITCHBACK_POWER_SEED")) {
    return std::strtoull(given, nullptr, 10);
  }
  const auto now = std::chrono::steady_clock::now().time_since_epoch().count();
  return static_cast<std::uint64_t>(now) ^ static_cast<std::uint64_t>(::getpid());
}

void install() {
  const char* wanted = std::getenv("SWITCHBACK_POWER_LOSS");
  if (wanted == nullptr || std::string(wanted) != "1") return;
  unsynced = std::make_unique<UnsyncedFiles>(seed()).release();
  real_vfs = sqlite3_vfs_find(nullptr);
  shim_vfs = *real_vfs;
  shim_vfs.zName = "switchback-power-loss";
  shim_vfs.pNext = nullptr;
  shim_vfs.szOsFile = static_cast<int>(sizeof(ShimFile)) + real_vfs->szOsFile;
  shim_vfs.xOpen = shim_open;
  shim_vfs.xDelete = shim_delete;
  sqlite3_vfs_register(&shim_vfs, 1);
  on_power_loss([] {
    end_peer();
    unsynced->lose();
  });
}

}  // namespace

void arm_power_loss() {
  static std::once_flag once;
  std::call_once(once, install);
}

}  // namespace switchback
#endif
