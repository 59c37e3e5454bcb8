// The registry: each durable step has one name ending in ".before" and one in ".after". Sorted by
// folder. A tidy test compares it with the calls in the sources, and one test shows each was hit.
#pragma once

#include <array>
#include <string_view>

namespace switchback {

inline constexpr std::array kFailpointNames = std::to_array<std::string_view>({
    // state
    "file.sync.before",
    "file.sync.after",
    "file.rename.before",
    "file.rename.after",
    "file.folder_sync.before",
    "file.folder_sync.after",
    "flip.journal.decide.before",
    "flip.journal.decide.after",
    "flip.journal.clear.before",
    "flip.journal.clear.after",
    // bridge
    "flip.close.before",
    "flip.close.after",
    "flip.open.before",
    "flip.open.after",
    "state.probe_sync.before",
    "state.probe_sync.after",
    "run_dir.rename.before",
    "run_dir.rename.after",
    "audit.sync.before",
    "audit.sync.after",
    // watchers/files
    "files.ledger.commit.before",
    "files.ledger.commit.after",
    "files.stage.sync.before",
    "files.stage.sync.after",
    "files.replace.before",
    "files.replace.after",
    "files.folder_sync.before",
    "files.folder_sync.after",
    // watchers/sqlite: install
    "sqlite.install.commit.before",
    "sqlite.install.commit.after",
    "sqlite.remove.commit.before",
    "sqlite.remove.commit.after",
    // watchers/sqlite: gate, sink, backup
    "sqlite.gate.close.commit.before",
    "sqlite.gate.close.commit.after",
    "sqlite.gate.open.commit.before",
    "sqlite.gate.open.commit.after",
    "sqlite.prune.commit.before",
    "sqlite.prune.commit.after",
    "sqlite.sink.commit.before",
    "sqlite.sink.commit.after",
    "sqlite.sink.sync.before",
    "sqlite.sink.sync.after",
    "sqlite.sink.checkpoint.before",
    "sqlite.sink.checkpoint.after",
    "sqlite.sink.folder_sync.before",
    "sqlite.sink.folder_sync.after",
    "sqlite.backup.sync.before",
    "sqlite.backup.sync.after",
    "sqlite.backup.rename.before",
    "sqlite.backup.rename.after",
    "sqlite.backup.folder_sync.before",
    "sqlite.backup.folder_sync.after",
    // replication: install, gate and load
    "pg.schema.commit.before",
    "pg.schema.commit.after",
    "pg.install.commit.before",
    "pg.install.commit.after",
    "pg.remove.commit.before",
    "pg.remove.commit.after",
    "pg.gate.mark.commit.before",
    "pg.gate.mark.commit.after",
    "pg.gate.close.commit.before",
    "pg.gate.close.commit.after",
    "pg.gate.open.commit.before",
    "pg.gate.open.commit.after",
    "pg.sink.commit.before",
    "pg.sink.commit.after",
    "load.drop.commit.before",
    "load.drop.commit.after",
    "load.copy.commit.before",
    "load.copy.commit.after",
    "load.key.commit.before",
    "load.key.commit.after",
    "load.rest.commit.before",
    "load.rest.commit.after",
    "load.step.commit.before",
    "load.step.commit.after",
    // replication
    "pg.slot.create.before",
    "pg.slot.create.after",
    "pg.slot.drop.before",
    "pg.slot.drop.after",
    "pg.feedback.before",
    "pg.feedback.after",
});

}  // namespace switchback
