// What `switchback demo` must know of an example system: a folder under configs/ with
// switchback.toml, schema.sql, perhaps templates, make_sample.py, application.py, checker.py and
// demo.toml, which has the words and names below. A system is data; the demo has no branch for any
// of them.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace switchback {

struct DemoSystem {
  std::string name;
  std::filesystem::path folder;
  std::string scene;       // what the old store is full of: "tweets in SQLite"
  std::string store;       // the old store's file or folder, as switchback.toml calls it
  int rows = 0;            // of the largest table, unless somebody says otherwise
  std::string plant_loss;  // SQL that takes away a row the application was told is safe

  /// switchback.toml and what it names: the schema, templates.
  std::vector<std::filesystem::path> bridge_files() const;
};

/// Throws Error(kUsage) that lists the systems there are, if `name` is none of them, and one with
/// file, line and key if its demo.toml is not as it must be.
DemoSystem load_demo_system(const std::string& name);

/// The names of all systems that have a demo.toml, sorted.
std::vector<std::string> demo_systems();

}  // namespace switchback
