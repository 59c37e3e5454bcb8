// The one error type of the project: data, not a class tree. It says what went wrong, on which
// object, whether trying again may help, and what a person should do next. Thrown by every layer;
// caught only by pump loops, command mains and thread entries.
#pragma once

#include <exception>
#include <string>
#include <string_view>

namespace switchback {

enum class ErrorKind {
  kUsage,        // a command line or configuration that cannot be right
  kUnreachable,  // a side could not be reached, or the connection to it was lost
  kRefused,      // a side answered, and the answer was no: a right, a gate, a fence, a limit
  kBusy,         // a lock could not be had in time; nothing was changed
  kData,         // a value or a schema that does not fit
  kHistory,      // the source is not the one the position was made in: it has forked
  kDisk,         // a full disk, a read-only or vanished folder, a failed sync
  kInternal,     // a mistake of our own, or a peer that breaks its protocol
};

/// Whether the same call may succeed later without anybody doing anything.
enum class Retry { kNever, kLater };

struct ErrorDetail {
  std::string object = {};    // table, file, slot … the error is about; may be empty
  std::string sqlstate = {};  // PostgreSQL's five characters; empty elsewhere
  std::string next = {};      // what a person should do or type next; may be empty
};

class Error : public std::exception {
 public:
  Error(ErrorKind kind, Retry retry, std::string what, ErrorDetail detail = {});

  ErrorKind kind() const noexcept { return kind_; }
  Retry retry() const noexcept { return retry_; }
  const ErrorDetail& detail() const noexcept { return detail_; }
  /// The whole story in one line: what, on which object, what next.
  const char* what() const noexcept override { return line_.c_str(); }
  /// Only what went wrong, without object and advice.
  const std::string& message() const noexcept { return message_; }

 private:
  ErrorKind kind_;
  Retry retry_;
  std::string message_;
  ErrorDetail detail_;
  std::string line_;
};

std::string_view to_string(ErrorKind kind) noexcept;

}  // namespace switchback
