#include "bridge/demo_system.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>

#include "bridge/config_reader.h"
#include "state/base/durable_file.h"
#include "state/base/error.h"

namespace switchback {
namespace {

std::filesystem::path configs_folder() {
  const char* share = std::getenv("SWITCHBACK_SHARE_DIR");
  return std::filesystem::path(share != nullptr ? share : SWITCHBACK_SHARE_DIR) / "configs";
}

std::string need(const ConfigReader& reader, const char* key) {
  const auto value = reader.string(key);
  if (!value) reader.fail("", fmt::format("{} is missing", key));
  return *value;
}

toml::table parse(const std::filesystem::path& file) {
  try {
    return toml::parse(read_file(file), file.string());
  } catch (const toml::parse_error& error) {
    throw Error(ErrorKind::kUsage, Retry::kNever,
                fmt::format("this is no TOML: {}", error.description()),
                {.object = fmt::format("{}:{}", file.string(), error.source().begin.line)});
  }
}

}  // namespace

std::vector<std::filesystem::path> DemoSystem::bridge_files() const {
  std::vector<std::filesystem::path> out;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const auto& path = entry.path();
    const bool program = path.extension() == ".py" || path.filename() == "demo.toml";
    if (entry.is_regular_file() && !program) out.push_back(path);
  }
  return out;
}

std::vector<std::string> demo_systems() {
  std::vector<std::string> names;
  std::error_code code;
  for (const auto& entry : std::filesystem::directory_iterator(configs_folder(), code)) {
    if (std::filesystem::exists(entry.path() / "demo.toml", code)) {
      names.push_back(entry.path().filename().string());
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

DemoSystem load_demo_system(const std::string& name) {
  const auto known = demo_systems();
  if (std::find(known.begin(), known.end(), name) == known.end()) {
    throw Error(ErrorKind::kUsage, Retry::kNever, "there is no such system",
                {.object = name,
                 .next = known.empty() ? fmt::format("no system lies in {}; SWITCHBACK_SHARE_DIR "
                                                     "names the folder that has configs/",
                                                     configs_folder().string())
                                       : fmt::format("there are: {}", fmt::join(known, ", "))});
  }
  DemoSystem system{
      .name = name, .folder = configs_folder() / name, .scene = {}, .store = {}, .plant_loss = {}};
  const auto file = system.folder / "demo.toml";
  const toml::table parsed = parse(file);
  const ConfigReader reader(parsed, file.string(), "");
  reader.allow({"scene", "store", "rows", "plant_loss"});
  system.scene = need(reader, "scene");
  system.store = need(reader, "store");
  system.plant_loss = need(reader, "plant_loss");
  const auto rows = parsed["rows"].value<int>();
  if (!rows || *rows < 1) reader.fail("rows", "expected a number of rows, at least 1");
  system.rows = *rows;
  return system;
}

}  // namespace switchback
