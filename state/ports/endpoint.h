// One side of a bridge: how its four parts are made, and how the bridge comes and goes there. Every
// part has its own connection and belongs to the thread that uses it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "state/model/table_map.h"
#include "state/ports/change_sink.h"
#include "state/ports/change_source.h"
#include "state/ports/row_reader.h"
#include "state/ports/write_gate.h"

namespace switchback {

/// One line of `check`.
struct Finding {
  enum class Level { kOk, kWarning, kFailure };
  Level level = Level::kOk;
  std::string what;
  std::string fix;  // a command, or the SQL to run; empty if nothing is to be done
};

/// A key whose change a side could not take, as that side's book has it.
struct QuarantineEntry {
  std::optional<TableId> table;  // empty: `name` is no table's
  std::string name;              // schema.table in PostgreSQL, or what else the entry is about
  std::string key;               // as Reject::key
  std::string reason;
  std::string sqlstate;
  std::string since;  // UTC, ISO 8601
  bool accepted = false;
  // A change that this side, as the primary, keeps back until a person lets it through.
  bool held = false;
};

/// schema.table as people read it, without quotes.
std::string qualified_name(const TableMap& table);
std::optional<TableId> find_qualified(const Mapping& mapping, std::string_view name);

class Endpoint {
 public:
  virtual ~Endpoint() = default;

  virtual std::unique_ptr<ChangeSource> make_source() = 0;
  virtual std::unique_ptr<ChangeSink> make_sink() = 0;
  virtual std::unique_ptr<RowReader> make_reader() = 0;
  virtual std::unique_ptr<WriteGate> make_gate(const std::string& group) = 0;

  /// Preflight, by trying rather than by reading flags.
  virtual std::vector<Finding> check() = 0;

  /// Copies the side as it stands, while the application goes on: what is copied has names that
  /// begin with `name`; the manifest `name`.json comes last and vouches for the rest. Nothing if
  /// others see to this side's backups.
  virtual void backup(const std::filesystem::path& /*name*/) {}

  /// The book of what this side could not take, accepted entries too, by table and key; empty while
  /// nothing is installed. While it is primary also what it holds back.
  virtual std::vector<QuarantineEntry> quarantine() { return {}; }
  /// Takes what it held back as it stands now: durably on its way when this returns. Throws
  /// Error(kBusy) if it is being written just now, Error(kRefused) if nothing of that name is held.
  virtual void let_through(const QuarantineEntry& /*held*/) {}
  /// Called when what this side knew of itself was lost and made anew, before all its rows are
  /// compared with those of `others`: identities that were made up are taken from there again.
  virtual void adopt(RowReader& /*others*/) {}

  /// What must stay as it is for a comparison made earlier to hold: fences, capture, what carries
  /// changes, the tables' own shape. Name -> how it stands, so that even what was changed and put
  /// back shows. Nothing where changes cannot pass unseen.
  virtual std::map<std::string, std::string> standing() { return {}; }

  /// Per table, what it looks like: "name type" of each column, in whatever order. A table that was
  /// altered while the bridge is installed shows by it. Nothing where tables have no such thing.
  virtual std::map<std::string, std::vector<std::string>> columns() { return {}; }

  /// Called before the other side is made in all as this one is. Throws Error(kRefused) while what
  /// is here now is not to be taken for all there is: a deletion is held back, or most of a store
  /// is gone. renew() would forget that.
  virtual void require_whole() {}

  /// As install(), for tables that may be others than before and a history that may have forked:
  /// what was captured or streamed so far is given up, fences are put back as the gate says, and a
  /// new history begins. Every change after the returned position will be told; what was before it,
  /// and what the other side holds, is for a full comparison. Idempotent: the last call counts.
  virtual Position renew() {
    install();
    return {};
  }

  /// An empty side of the same shape in a folder of its own, installed: what this side's sink would
  /// write can be tried there. Nothing if this side has no such thing.
  virtual std::unique_ptr<Endpoint> make_scratch(const std::filesystem::path& /*folder*/) {
    return nullptr;
  }

  /// The statements that install() would run now, in order; empty if all is in place. Throws what
  /// install() would throw.
  virtual std::vector<std::string> plan_install() = 0;
  /// Puts capture, fences and book-keeping in place, the old side open and PostgreSQL closed, at
  /// epoch 1. Idempotent; leaves an existing gate state alone.
  virtual void install() = 0;
  /// SQL that takes every trace off by hand, for people without this program.
  virtual std::string removal_script() = 0;
  /// Takes every trace off. Idempotent, object by object.
  virtual void remove() = 0;
};

}  // namespace switchback
