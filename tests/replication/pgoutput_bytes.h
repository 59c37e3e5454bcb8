// Hand-made messages of logical replication, for the tests of the decoder and the assembler.
// One thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "replication/wire.h"

namespace switchback::test {

/// One value of a tuple: "n", "u", or 't' / 'b' with bytes.
struct WireValue {
  char form = 't';
  std::string bytes = {};
};

inline std::string tuple(const std::vector<WireValue>& values) {
  std::string out;
  append_big_endian(out, static_cast<std::uint16_t>(values.size()));
  for (const auto& value : values) {
    out += value.form;
    if (value.form != 't' && value.form != 'b') continue;
    append_big_endian(out, static_cast<std::uint32_t>(value.bytes.size()));
    out += value.bytes;
  }
  return out;
}

template <class T>
std::string big_endian(T value) {
  std::string out;
  append_big_endian(out, value);
  return out;
}

inline std::string zero_ended(std::string_view text) {
  return std::string(text) + '\0';
}

inline std::string begin(std::uint64_t commit_lsn) {
  return "B" + big_endian(commit_lsn) + big_endian(std::uint64_t{77}) +
         big_endian(std::uint32_t{9});
}

inline std::string commit(std::uint64_t commit_lsn, std::uint64_t end_lsn) {
  return "C" + std::string(1, '\0') + big_endian(commit_lsn) + big_endian(end_lsn) +
         big_endian(std::uint64_t{77});
}

struct WireColumn {
  std::string name;
  std::uint32_t type = 25;
  bool key = false;
  std::int32_t modifier = -1;
};

inline std::string relation(std::uint32_t id, std::string_view schema, std::string_view name,
                            const std::vector<WireColumn>& columns, char identity = 'd') {
  std::string out = "R" + big_endian(id) + zero_ended(schema) + zero_ended(name) + identity +
                    big_endian(static_cast<std::uint16_t>(columns.size()));
  for (const auto& column : columns) {
    out += std::string(1, column.key ? '\1' : '\0') + zero_ended(column.name) +
           big_endian(column.type) + big_endian(column.modifier);
  }
  return out;
}

inline std::string type(std::uint32_t oid, std::string_view schema, std::string_view name) {
  return "Y" + big_endian(oid) + zero_ended(schema) + zero_ended(name);
}

inline std::string insert(std::uint32_t id, const std::vector<WireValue>& row) {
  return "I" + big_endian(id) + "N" + tuple(row);
}

inline std::string update(std::uint32_t id, const std::vector<WireValue>& row) {
  return "U" + big_endian(id) + "N" + tuple(row);
}

inline std::string update(std::uint32_t id, char before, const std::vector<WireValue>& old_row,
                          const std::vector<WireValue>& row) {
  return "U" + big_endian(id) + before + tuple(old_row) + "N" + tuple(row);
}

inline std::string erase(std::uint32_t id, char before, const std::vector<WireValue>& old_row) {
  return "D" + big_endian(id) + before + tuple(old_row);
}

inline std::string truncate(const std::vector<std::uint32_t>& ids, char options = '\0') {
  std::string out = "T" + big_endian(static_cast<std::uint32_t>(ids.size())) + options;
  for (const auto id : ids) out += big_endian(id);
  return out;
}

inline std::string message(std::string_view prefix, std::string_view content,
                           bool transactional = true) {
  return "M" + std::string(1, transactional ? '\1' : '\0') + big_endian(std::uint64_t{5}) +
         zero_ended(prefix) + big_endian(static_cast<std::uint32_t>(content.size())) +
         std::string(content);
}

}  // namespace switchback::test
