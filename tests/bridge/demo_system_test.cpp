#include "bridge/demo_system.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bridge/config.h"
#include "state/base/durable_file.h"
#include "state/base/error.h"

namespace switchback {
namespace {

using ::testing::HasSubstr;

TEST(DemoSystem, EveryFolderOfConfigsIsWholeAndAnUnknownNameGetsTheList) {
  const auto names = demo_systems();
  EXPECT_THAT(names, testing::IsSupersetOf({"llmcouncil", "twitter", "widgettdc"}));
  for (const auto& name : names) {
    const DemoSystem system = load_demo_system(name);
    for (const char* file :
         {"switchback.toml", "schema.sql", "make_sample.py", "application.py", "checker.py"}) {
      EXPECT_TRUE(std::filesystem::exists(system.folder / file)) << system.folder / file;
    }
    const auto file = system.folder / "switchback.toml";
    EXPECT_THAT(system.bridge_files(), testing::Contains(file));
    EXPECT_THAT(system.bridge_files(),
                testing::Not(testing::Contains(system.folder / "demo.toml")));
    EXPECT_THAT(read_file(file), HasSubstr('"' + system.store + '"'));
    EXPECT_NO_THROW(load_config(file, [](const char*) -> const char* { return nullptr; }));
  }
  try {
    load_demo_system("common");
    FAIL() << "common is no system";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    EXPECT_THAT(error.what(), HasSubstr("there are: "));
    EXPECT_THAT(error.what(), HasSubstr("widgettdc"));
  }
}

}  // namespace
}  // namespace switchback
