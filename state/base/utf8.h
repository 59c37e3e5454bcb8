// UTF-8, as the escapes of JSON need it: both readers of JSON text that keep its spelling decode
// \uXXXX themselves. The format: https://www.rfc-editor.org/rfc/rfc3629#section-3. Thread-safe.
#pragma once

#include <cstdint>
#include <string>

namespace switchback {

/// Appends what stands for `code`, up to 0x10FFFF. A lone surrogate gets three bytes, like any
/// other of its size.
void append_utf8(std::string& out, std::uint32_t code);

}  // namespace switchback
