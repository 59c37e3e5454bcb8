// An Error as JSON and back: how the admin server answers and the command line understands it, and
// what --json prints. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "state/base/error.h"

namespace switchback {

/// {"error":{"kind","retry","message","object","sqlstate","next"}}
std::string to_json(const Error& error);
/// nullopt if it is not of that form.
std::optional<Error> parse_error(std::string_view json);

}  // namespace switchback
