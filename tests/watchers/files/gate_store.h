// The mapping of the store that the gate's tests play with. The child that dies in them has the
// same.
#pragma once

#include "tests/watchers/files/lens_fixture.h"

namespace switchback {

inline const CollectionText kGateCollection{.files = "sub/*.json"};
inline const std::vector<TableText> kGateTables{
    {.name = "users",
     .path = "",
     .columns = {"id int = /id", "name text = /name", "made int = $serial"}}};

}  // namespace switchback
