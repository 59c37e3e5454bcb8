// SHA-256 of bytes, for what must be hard to forge: the chain of the audit log and the certificates
// it names, and for `$sha256` of files, where people compare it with what sha256sum says.
// OpenSSL's. Stateless.
#pragma once

#include <string>
#include <string_view>

namespace switchback {

/// 64 hexadecimal digits, lower case. Throws Error(kInternal) if the library refuses.
std::string sha256_of(std::string_view bytes);

}  // namespace switchback
