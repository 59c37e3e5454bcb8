// What every file that talks to the kernel about files needs: all bytes written, and a failed call
// turned into an Error that says which step of what failed, and why. For the code that makes files
// durable (durable_file, the audit log, the backup) and the run folder. Stateless.
#pragma once

#include <filesystem>
#include <string_view>

namespace switchback {

inline constexpr const char* kMakeRoom = "free space or restore access, then try again";

/// Throws Error(kDisk, retry later) for the call that has just set errno. `next` is what to do.
[[noreturn]] void fail_with_errno(const std::filesystem::path& path, const char* step,
                                  const char* next = kMakeRoom);

/// Writes all of `bytes`, however many calls that takes. Throws Error(kDisk); then some of them may
/// be written.
void write_all(int fd, std::string_view bytes, const std::filesystem::path& path);

}  // namespace switchback
