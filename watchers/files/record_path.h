// Which file a record belongs to by what it says of itself. What comes from PostgreSQL becomes a
// path here, so whatever would leave the store's folder, is no file name or would not be taken for
// the collection's is refused with the reason. Links are refused where the file is opened. Pure.
#pragma once

#include <string_view>

#include "state/model/document_map.h"
#include "watchers/files/lens.h"

namespace switchback {

/// `now` is the path of the file it stands in; empty if it is born.
MadePath record_path(const Collection& collection, const RecordText& text, std::string_view now);

}  // namespace switchback
