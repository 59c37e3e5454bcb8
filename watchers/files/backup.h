// Copies of all files of a store, made while the application goes on, with a manifest that says
// what each is and how it hashes. Called before the bridge first touches the store. Stateless.
#pragma once

#include <filesystem>

#include "state/model/document_map.h"

namespace switchback {

/// Copies into the folder `name`, one numbered folder in it per root, replacing what an earlier
/// call left there. The manifest, `name`.json, comes last: if it is there, the backup is whole and
/// durable. Each file is copied as one state of it, and as a whole document unless it stays damaged
/// for seconds; two files may be of different moments. Throws Error: kDisk, kBusy.
void backup_files(const DocumentMap& documents, const std::filesystem::path& name);

}  // namespace switchback
