// The mapping of the store in the sink's crash story, and its batch. A child process plays it, its
// parent judges what is left.
#pragma once

#include "tests/watchers/files/lens_fixture.h"

namespace switchback {

inline const CollectionText kCrashCollection{.files = "chats/{/id}.json", .records = ""};
inline const std::vector<TableText> kCrashTables{
    {.name = "chats", .path = "", .columns = {"id text = /id", "title text = /title"}}};

/// One batch over four files: two change, one is made, one goes.
inline void fill_crash_batch(LensText& text) {
  text.upsert("chats", {"a", "new"});
  text.upsert("chats", {"b", "new"});
  text.upsert("chats", {"d", "new"});
  text.remove("chats", {"c"});
}

}  // namespace switchback
