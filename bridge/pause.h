// How long writers wait in a flip: the parts of that pause as they were measured, what the next one
// will take by them and by the pump's own speed, and the small file of the state directory that
// keeps the last measurements of each direction. Pure but for the file; a book belongs to one
// thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "bridge/pump.h"
#include "state/base/json_text.h"
#include "state/model/phase.h"

namespace switchback {

/// From the first lock asked for to the other side open.
struct PauseParts {
  std::chrono::microseconds lock{0};
  std::chrono::microseconds drain{0};
  std::chrono::microseconds compare{0};
  std::chrono::microseconds change_over{0};  // a drill has none

  std::chrono::microseconds total() const { return lock + drain + compare + change_over; }
};

/// One flip or drill that came to its end.
struct PauseMeasured {
  PauseParts parts;
  bool drill = false;
};

struct PausePredicted {
  PauseParts parts;
  std::size_t measured = 0;  // by how many flips and drills; 0: by how long a look at a side takes

  bool in_time(std::chrono::milliseconds max_pause) const;
};

/// What is known before a flip.
struct PauseGrounds {
  std::vector<PauseMeasured> earlier;  // in this direction, the last one last
  ApplySpeed speed;
  std::uint64_t backlog = 0;  // changes not applied yet
  std::chrono::microseconds look_from{0}, look_to{0};
};

PausePredicted predict_pause(const PauseGrounds& grounds);

/// The members "lock_ms", "drain_ms", "compare_ms" and "change_over_ms", into an object.
void write_parts(JsonWriter& json, const PauseParts& parts);
double in_ms(std::chrono::microseconds span);

class PauseBook {
 public:
  explicit PauseBook(std::filesystem::path file) : file_(std::move(file)) {}

  /// Empty if nothing is known, or the file is of another version.
  std::vector<PauseMeasured> read(Side to) const;
  /// Durable; keeps the last few. Throws Error(kDisk).
  void add(Side to, const PauseMeasured& measured) const;

 private:
  const std::filesystem::path file_;
};

}  // namespace switchback
