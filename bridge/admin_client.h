// How a command speaks to the running sidecar: finds its address and token in the state directory.
// One thread.
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>

namespace switchback {

class AdminClient {
 public:
  /// nullopt if no sidecar runs on this state directory or it has no admin server. Throws
  /// Error(kUnreachable) if its address file cannot be understood.
  static std::optional<AdminClient> find(const std::filesystem::path& state_dir);

  /// The body of the answer. Throws what the sidecar answered as Error, or Error(kUnreachable).
  std::string get(const std::string& path, std::chrono::milliseconds limit) const;
  std::string post(const std::string& path, const std::string& json,
                   std::chrono::milliseconds limit) const;

 private:
  AdminClient(std::string host, int port, std::string token);

  std::string host_;
  int port_;
  std::string token_;
};

}  // namespace switchback
