// What a JSON text means, apart from how it is spelled: the order of members, white space, escapes,
// number spellings and repeated keys (the last one counts) make no difference, as for jsonb. Also
// says beforehand which texts PostgreSQL's json and jsonb would refuse. Used by the codecs of old
// stores and by the verifier. Pure and thread-safe.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace switchback {

enum class JsonFlavour {
  kJson,   // PostgreSQL's json: any valid syntax
  kJsonb,  // jsonb: also no \u0000, no lone surrogates, numbers within numeric's range
};

/// Why PostgreSQL's type would refuse `text` (a constant, in words); nullopt if it takes it.
/// Documents nested deeper than 1,000 levels are refused.
std::optional<std::string_view> json_refusal(std::string_view text, JsonFlavour flavour);

/// Whether both mean the same. Texts that are no JSON mean only themselves.
bool json_same(std::string_view a, std::string_view b);

/// Appends bytes that are equal for two texts exactly if json_same(), and of which none is the
/// beginning of another.
void append_json_meaning(std::string_view text, std::string& out);
/// The same for a decimal number, "NaN" or any other text that stands for one.
void append_decimal_meaning(std::string_view text, std::string& out);

}  // namespace switchback
