// How a file spells its JSON: indent, line ends, blanks after ':' and ',', escapes. Looked up in
// the text beside which a change is written, so that what the bridge writes reads as if the
// application had written it. Pure.
#pragma once

#include <string>
#include <string_view>

namespace switchback {

struct TextStyle {
  bool lines = false;           // a new line for each value in a container
  std::string unit = "  ";      // one step of indentation, if lines
  std::string line_end = "\n";  // "\r\n" in files that have it
  std::string comma = ",";      // between values of one line: "," or ", "
  std::string colon = ":";      // ":" or ": "
  bool final_line_end = false;  // after the last byte of a whole file
  bool ascii = false;           // everything beyond ASCII as \uXXXX
  bool slash = false;           // "\/"
  bool upper_hex = false;       // \u00E9 rather than \u00e9

  /// From a text of any length (its first quarter of a megabyte is enough). `assume_ascii` holds
  /// when the text shows no character beyond ASCII in either spelling. An empty text gives the
  /// style of JSON.stringify(x, null, 2).
  static TextStyle of(std::string_view text, bool assume_ascii);
  /// This style, but for what `text` shows: a record may be written otherwise than its file.
  /// `indent` is that of the line in its file on which it begins.
  TextStyle refined_by(std::string_view text, std::string_view indent = {}) const;

  /// `utf8` (valid; lone surrogates as three bytes) as a string token with quotes.
  std::string quote(std::string_view utf8) const;
  /// A value given as JSON text, spelled in this style. `indent` is the indentation of the line the
  /// value begins on. Numbers stay as they are written.
  std::string print(std::string_view json, std::string_view indent) const;
};

}  // namespace switchback
