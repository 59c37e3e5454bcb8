#include "state/ledger/run_dir.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "state/base/durable_file.h"
#include "state/base/failpoint.h"
#include "state/base/file_calls.h"
#include "state/base/json_text.h"
#include "state/base/unique_fd.h"

namespace switchback {
namespace {

[[noreturn]] void run_dir_failed(const std::filesystem::path& path, const char* step) {
  fail_with_errno(path, step, "give this process write access to the run folder");
}

}  // namespace

std::string to_line(const PrimaryHint& hint) {
  JsonWriter json;
  json.begin_object()
      .member("epoch", hint.epoch)
      .member("state", hint.closing ? "closing" : "settled")
      .key("groups")
      .begin_object();
  for (const auto& [group, side] : hint.groups) json.member(group, to_string(side));
  json.end_object().end_object();
  return json.take() + "\n";
}

RunDir RunDir::open(const std::filesystem::path& path) {
  make_folder(path, 0755);
  return RunDir(path);
}

void RunDir::tell(const PrimaryHint& hint) {
  const std::string line = to_line(hint);
  if (read_file(primary_file()) == line) return;
  make_folder(path_, 0755);
  const auto temporary = path_ / "primary.tmp";
  {
    const UniqueFd fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    if (!fd) run_dir_failed(temporary, "create");
    if (::fchmod(fd.get(), 0644) != 0) run_dir_failed(temporary, "chmod");
    const ssize_t written = ::write(fd.get(), line.data(), line.size());
    if (written < 0) run_dir_failed(temporary, "write");
    if (static_cast<std::size_t>(written) != line.size()) {
      errno = ENOSPC;
      run_dir_failed(temporary, "write");
    }
  }
  failpoint("run_dir.rename.before");
  if (std::rename(temporary.c_str(), primary_file().c_str()) != 0)
    run_dir_failed(primary_file(), "rename");
  failpoint("run_dir.rename.after");
}

}  // namespace switchback
