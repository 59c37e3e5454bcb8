#include "watchers/sqlite/open_readers.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <set>
#include <sstream>
#include <thread>

namespace switchback {
namespace {

// https://www.sqlite.org/fileformat.html#the_lock_byte_page: the shared range starts two bytes
// after PENDING_BYTE (0x40000000).
constexpr std::uint64_t kSharedFirst = 0x40000002;

// A busy application holds the lock most of the time, with another transaction at each look: one
// look at which it holds none tells it from a reader that stays.
constexpr int kLooks = 60;
constexpr std::chrono::milliseconds kBetweenLooks{5};

std::set<pid_t> readers_now(ino_t inode) {
  std::set<pid_t> pids;
  std::ifstream locks("/proc/locks");
  // "1: POSIX  ADVISORY  READ 4711 fe:01:123456 1073741826 1073742335"
  for (std::string line; std::getline(locks, line);) {
    std::istringstream words(line);
    std::string number, type, advice, access, file;
    pid_t pid = 0;
    std::uint64_t first = 0;
    if (!(words >> number >> type >> advice >> access >> pid >> file >> first)) continue;
    const auto colon = file.rfind(':');
    if (type != "POSIX" || access != "READ" || first != kSharedFirst || colon == file.npos)
      continue;
    // The device is left out: overlay file systems report another one than stat(2) does.
    if (file.substr(colon + 1) != std::to_string(inode) || pid == ::getpid()) continue;
    pids.insert(pid);
  }
  return pids;
}

std::string command_of(pid_t pid) {
  std::ifstream comm("/proc/" + std::to_string(pid) + "/comm");
  std::string name;
  std::getline(comm, name);
  return name;
}

}  // namespace

std::vector<OpenReader> lasting_readers(const std::filesystem::path& database) {
  struct stat status {};
  if (::stat(database.c_str(), &status) != 0) return {};
  std::set<pid_t> lasting = readers_now(status.st_ino);
  for (int look = 1; look < kLooks && !lasting.empty(); ++look) {
    std::this_thread::sleep_for(kBetweenLooks);
    const auto now = readers_now(status.st_ino);
    std::erase_if(lasting, [&](pid_t pid) { return !now.contains(pid); });
  }
  std::vector<OpenReader> readers;
  for (const pid_t pid : lasting) readers.push_back({pid, command_of(pid)});
  return readers;
}

}  // namespace switchback
