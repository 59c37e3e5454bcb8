#include "state/base/error.h"

#include <utility>

namespace switchback {

Error::Error(ErrorKind kind, Retry retry, std::string what, ErrorDetail detail)
    : kind_(kind), retry_(retry), message_(std::move(what)), detail_(std::move(detail)) {
  line_ = detail_.object.empty() ? message_ : detail_.object + ": " + message_;
  if (!detail_.sqlstate.empty()) line_ += " [SQLSTATE " + detail_.sqlstate + "]";
  if (!detail_.next.empty()) line_ += ". Next: " + detail_.next;
}

std::string_view to_string(ErrorKind kind) noexcept {
  switch (kind) {
    case ErrorKind::kUsage:
      return "usage";
    case ErrorKind::kUnreachable:
      return "unreachable";
    case ErrorKind::kRefused:
      return "refused";
    case ErrorKind::kBusy:
      return "busy";
    case ErrorKind::kData:
      return "data";
    case ErrorKind::kHistory:
      return "history";
    case ErrorKind::kDisk:
      return "disk";
    case ErrorKind::kInternal:
      return "internal";
  }
  return "unknown";
}

}  // namespace switchback
