#include "state/model/chunk_spool.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "state/base/error.h"

namespace switchback {
namespace {

// Enough to keep filling while the queue is drained; more would only hold memory.
constexpr std::size_t kSpareChunks = 4;
// A chunk that held one huge row does not keep its memory.
constexpr std::size_t kSpareBytes = 2 * Chunk::kFullBytes;

[[noreturn]] void spool_failed(const std::filesystem::path& folder, const char* step, int code) {
  throw Error(ErrorKind::kDisk, Retry::kLater,
              std::string("the spool of a large batch: ") + step + ": " + std::strerror(code),
              {.object = folder.string(), .next = "free space on the disk of the state directory"});
}

UniqueFd open_unlinked(const std::filesystem::path& folder) {
  UniqueFd fd(::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (fd) return fd;
  // Not every file system has O_TMPFILE.
  if (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT) {
    spool_failed(folder, "open", errno);
  }
  std::string name = (folder / "spool-XXXXXX").string();
  fd = UniqueFd(::mkostemp(name.data(), O_CLOEXEC));
  if (!fd) spool_failed(folder, "open", errno);
  if (::unlink(name.c_str()) != 0) spool_failed(folder, "unlink", errno);
  return fd;
}

}  // namespace

ChunkSpool::ChunkSpool(std::filesystem::path folder, std::size_t limit_bytes)
    : folder_(std::move(folder)), limit_bytes_(limit_bytes) {}

void ChunkSpool::push(Chunk& chunk) {
  const bool file_in_use = read_at_ != write_at_;
  if (file_in_use || memory_bytes_ + chunk.bytes() > limit_bytes_) {
    spill(chunk);
    chunk.clear();
    return;
  }
  memory_bytes_ += chunk.bytes();
  in_memory_.push_back(std::exchange(chunk, Chunk{}));
  if (!spare_.empty()) {
    chunk = std::move(spare_.back());
    spare_.pop_back();
  }
}

bool ChunkSpool::pop(Chunk& out) {
  if (in_memory_.empty()) return unspill(out);
  memory_bytes_ -= in_memory_.front().bytes();
  recycle(std::exchange(out, std::move(in_memory_.front())));
  in_memory_.pop_front();
  return true;
}

void ChunkSpool::clear() noexcept {
  in_memory_.clear();
  memory_bytes_ = 0;
  rewind_file();
}

void ChunkSpool::recycle(Chunk&& chunk) {
  if (spare_.size() >= kSpareChunks || chunk.bytes() > kSpareBytes) return;
  chunk.clear();
  spare_.push_back(std::move(chunk));
}

void ChunkSpool::spill(const Chunk& chunk) {
  if (!file_) file_ = open_unlinked(folder_);
  image_.assign(sizeof(std::uint64_t), '\0');
  chunk.serialize(image_);
  const std::uint64_t size = image_.size() - sizeof(std::uint64_t);
  std::memcpy(image_.data(), &size, sizeof size);
  std::size_t done = 0;
  while (done < image_.size()) {
    const ssize_t n = ::pwrite(file_.get(), image_.data() + done, image_.size() - done,
                               static_cast<off_t>(write_at_ + done));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) spool_failed(folder_, "write", n == 0 ? ENOSPC : errno);
    done += static_cast<std::size_t>(n);
  }
  write_at_ += image_.size();
}

bool ChunkSpool::unspill(Chunk& out) {
  if (read_at_ == write_at_) return false;
  const auto read_exactly = [&](char* to, std::size_t size) {
    while (size != 0) {
      const ssize_t n = ::pread(file_.get(), to, size, static_cast<off_t>(read_at_));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) spool_failed(folder_, "read", n == 0 ? EIO : errno);
      to += n;
      size -= static_cast<std::size_t>(n);
      read_at_ += static_cast<std::uint64_t>(n);
    }
  };
  std::uint64_t size = 0;
  read_exactly(reinterpret_cast<char*>(&size), sizeof size);
  image_.resize(size);
  read_exactly(image_.data(), image_.size());
  out.load(image_);
  if (image_.capacity() > kSpareBytes) image_ = {};
  if (read_at_ == write_at_) rewind_file();
  return true;
}

void ChunkSpool::rewind_file() noexcept {
  read_at_ = write_at_ = 0;
  // Giving the space back is a courtesy; a failure costs nothing but the space.
  if (file_) [[maybe_unused]]
    const int ignored = ::ftruncate(file_.get(), 0);
}

}  // namespace switchback
