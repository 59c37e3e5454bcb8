#include "watchers/sqlite/spelling.h"

#include <fmt/format.h>

#include <array>
#include <charconv>

#include "state/model/cell.h"

namespace switchback {
namespace {

constexpr std::int64_t kMicrosPerSecond = 1'000'000;
constexpr std::int64_t kSecondsPerDay = 86'400;
constexpr std::int64_t kMicrosPerDay = kSecondsPerDay * kMicrosPerSecond;

constexpr std::array<std::string_view, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
// Day 0, 1970-01-01, was a Thursday.
constexpr std::array<std::string_view, 7> kWeekdays = {"Thu", "Fri", "Sat", "Sun",
                                                       "Mon", "Tue", "Wed"};

struct Civil {
  std::int64_t year = 0;
  int month = 1, day = 1;
};

/// Days since 1970-01-01 in the proleptic Gregorian calendar (H. Hinnant, chrono-Compatible
/// Low-Level Date Algorithms, https://howardhinnant.github.io/date_algorithms.html).
constexpr std::int64_t days_of(const Civil& date) {
  const std::int64_t year = date.year - (date.month <= 2 ? 1 : 0);
  const std::int64_t era = (year >= 0 ? year : year - 399) / 400;
  const std::int64_t year_of_era = year - era * 400;
  const std::int64_t shifted = date.month > 2 ? date.month - 3 : date.month + 9;
  const std::int64_t day_of_year = (153 * shifted + 2) / 5 + date.day - 1;
  const std::int64_t day_of_era =
      year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  return era * 146'097 + day_of_era - 719'468;
}

constexpr Civil civil_of(std::int64_t days) {
  days += 719'468;
  const std::int64_t era = (days >= 0 ? days : days - 146'096) / 146'097;
  const std::int64_t day_of_era = days - era * 146'097;
  const std::int64_t year_of_era =
      (day_of_era - day_of_era / 1460 + day_of_era / 36'524 - day_of_era / 146'096) / 365;
  const std::int64_t day_of_year =
      day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const std::int64_t shifted = (5 * day_of_year + 2) / 153;
  Civil date;
  date.day = static_cast<int>(day_of_year - (153 * shifted + 2) / 5 + 1);
  date.month = static_cast<int>(shifted < 10 ? shifted + 3 : shifted - 9);
  date.year = year_of_era + era * 400 + (date.month <= 2 ? 1 : 0);
  return date;
}

constexpr int days_in(const Civil& date) {
  constexpr std::array<int, 12> kDays = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  const bool leap = date.year % 4 == 0 && (date.year % 100 != 0 || date.year % 400 == 0);
  return kDays[static_cast<std::size_t>(date.month - 1)] + (date.month == 2 && leap ? 1 : 0);
}

constexpr std::int64_t floor_div(std::int64_t a, std::int64_t b) {
  return a / b - (a % b < 0 ? 1 : 0);
}

/// Eats a text from the left. Every take fails without having eaten anything that matters, because
/// the caller gives up on the first failure.
class Taker {
 public:
  explicit Taker(std::string_view text) : text_(text) {}

  bool digits(std::size_t count, int& value) {
    if (text_.size() < count) return false;
    value = 0;
    for (std::size_t i = 0; i < count; ++i) {
      const char c = text_[i];
      if (c < '0' || c > '9') return false;
      value = value * 10 + (c - '0');
    }
    text_.remove_prefix(count);
    return true;
  }
  bool mark(char c) {
    if (text_.empty() || text_.front() != c) return false;
    text_.remove_prefix(1);
    return true;
  }
  template <std::size_t N>
  bool word(const std::array<std::string_view, N>& words, int& which) {
    for (std::size_t i = 0; i < N; ++i) {
      if (text_.starts_with(words[i])) {
        which = static_cast<int>(i);
        text_.remove_prefix(words[i].size());
        return true;
      }
    }
    return false;
  }
  bool date(std::int64_t& days) {
    Civil date;
    int year = 0;
    if (!digits(4, year) || !mark('-') || !digits(2, date.month) || !mark('-') ||
        !digits(2, date.day)) {
      return false;
    }
    date.year = year;
    return valid(date) && (days = days_of(date), true);
  }
  /// HH:MM:SS
  bool clock(std::int64_t& seconds) {
    int hour = 0, minute = 0, second = 0;
    if (!digits(2, hour) || !mark(':') || !digits(2, minute) || !mark(':') || !digits(2, second)) {
      return false;
    }
    seconds = hour * 3600 + minute * 60 + second;
    return hour < 24 && minute < 60 && second < 60;
  }
  /// The digits after a point. What is finer than a microsecond must be zero: it would be lost.
  bool fraction(std::int64_t& micros) {
    std::int64_t unit = kMicrosPerSecond / 10;
    std::size_t count = 0;
    for (; !text_.empty() && text_.front() >= '0' && text_.front() <= '9'; ++count) {
      const int digit = text_.front() - '0';
      if (unit == 0 && digit != 0) return false;
      micros += digit * unit;
      unit /= 10;
      text_.remove_prefix(1);
    }
    return count > 0;
  }
  /// +HH, +HHMM, +HH:MM or the same with '-', as seconds east of UTC.
  bool offset(std::int64_t& seconds) {
    const bool west = !text_.empty() && text_.front() == '-';
    int hour = 0, minute = 0;
    if (!mark(west ? '-' : '+') || !digits(2, hour)) return false;
    const bool has_minutes = mark(':') || (!text_.empty() && text_.front() != ' ');
    if (has_minutes && !digits(2, minute)) return false;
    seconds = (west ? -1 : 1) * (hour * 3600 + minute * 60);
    return hour < 16 && minute < 60;
  }
  bool valid(const Civil& date) const {
    return date.month >= 1 && date.month <= 12 && date.day >= 1 && date.day <= days_in(date);
  }
  bool end() const { return text_.empty(); }
  std::string_view rest() const { return text_; }

 private:
  std::string_view text_;
};

constexpr std::int64_t micros_of(std::int64_t days, std::int64_t seconds, std::int64_t micros) {
  return days * kMicrosPerDay + seconds * kMicrosPerSecond + micros;
}

std::optional<std::int64_t> parse_sqlite(std::string_view text) {
  if (text == "infinity") return kPlusInfinity;
  if (text == "-infinity") return kMinusInfinity;
  Taker take(text);
  std::int64_t days = 0, seconds = 0, micros = 0;
  if (!take.date(days) || !take.mark(' ') || !take.clock(seconds)) return std::nullopt;
  if (take.mark('.') && !take.fraction(micros)) return std::nullopt;
  if (!take.end()) return std::nullopt;
  return micros_of(days, seconds, micros);
}

std::optional<std::int64_t> parse_iso_ms_z(std::string_view text) {
  Taker take(text);
  std::int64_t days = 0, seconds = 0;
  int millis = 0;
  if (!take.date(days) || !take.mark('T') || !take.clock(seconds) || !take.mark('.') ||
      !take.digits(3, millis) || !take.mark('Z') || !take.end()) {
    return std::nullopt;
  }
  return micros_of(days, seconds, millis * 1000);
}

std::optional<std::int64_t> parse_iso(std::string_view text) {
  Taker take(text);
  std::int64_t days = 0, seconds = 0, micros = 0, east = 0;
  if (!take.date(days)) return std::nullopt;
  if (take.end()) return micros_of(days, 0, 0);
  if (!take.mark('T') && !take.mark(' ')) return std::nullopt;
  int hour = 0, minute = 0;
  if (take.rest().size() == 5) {  // HH:MM, which SQLite's own functions accept
    if (!take.digits(2, hour) || !take.mark(':') || !take.digits(2, minute)) return std::nullopt;
    if (hour > 23 || minute > 59) return std::nullopt;
    return micros_of(days, hour * 3600 + minute * 60, 0);
  }
  if (!take.clock(seconds)) return std::nullopt;
  if (take.mark('.') && !take.fraction(micros)) return std::nullopt;
  if (!take.end() && !take.mark('Z') && !take.offset(east)) return std::nullopt;
  if (!take.end()) return std::nullopt;
  return micros_of(days, seconds - east, micros);
}

std::optional<std::int64_t> parse_twitter(std::string_view text) {
  Taker take(text);
  int weekday = 0, month = 0, year = 0;
  std::int64_t seconds = 0, east = 0;
  Civil date;
  if (!take.word(kWeekdays, weekday) || !take.mark(' ') || !take.word(kMonths, month) ||
      !take.mark(' ') || !take.digits(2, date.day) || !take.mark(' ') || !take.clock(seconds) ||
      !take.mark(' ') || !take.offset(east) || !take.mark(' ') || !take.digits(4, year) ||
      !take.end()) {
    return std::nullopt;
  }
  date.year = year;
  date.month = month + 1;
  if (!take.valid(date)) return std::nullopt;
  const std::int64_t days = days_of(date);
  if (days - floor_div(days, 7) * 7 != weekday) return std::nullopt;
  return micros_of(days, seconds - east, 0);
}

std::optional<std::int64_t> parse_count(std::string_view text, std::int64_t unit) {
  std::int64_t count = 0;
  const char* end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, count);
  std::int64_t micros = 0;
  if (error != std::errc() || at != end || __builtin_mul_overflow(count, unit, &micros)) {
    return std::nullopt;
  }
  return micros;
}

struct Broken {
  Civil date;
  std::int64_t days, hour, minute, second, micros;
};

/// nullopt outside the years 0000 to 9999.
std::optional<Broken> break_down(std::int64_t micros) {
  Broken out{};
  out.days = floor_div(micros, kMicrosPerDay);
  out.date = civil_of(out.days);
  if (out.date.year < 0 || out.date.year > 9999) return std::nullopt;
  const std::int64_t of_day = micros - out.days * kMicrosPerDay;
  const std::int64_t seconds = of_day / kMicrosPerSecond;
  out.micros = of_day % kMicrosPerSecond;
  out.hour = seconds / 3600;
  out.minute = seconds / 60 % 60;
  out.second = seconds % 60;
  return out;
}

std::string format_fraction(std::int64_t micros) {
  if (micros == 0) return "";
  return micros % 1000 == 0 ? fmt::format(".{:03}", micros / 1000) : fmt::format(".{:06}", micros);
}

std::string format_iso(const Broken& t, char separator, std::string_view zone) {
  return fmt::format("{:04}-{:02}-{:02}{}{:02}:{:02}:{:02}{}{}", t.date.year, t.date.month,
                     t.date.day, separator, t.hour, t.minute, t.second, format_fraction(t.micros),
                     zone);
}

std::optional<std::string> format_count(std::int64_t micros, std::int64_t unit) {
  if (micros == kPlusInfinity || micros == kMinusInfinity || micros % unit != 0) {
    return std::nullopt;
  }
  return fmt::format("{}", micros / unit);
}

}  // namespace

std::optional<std::int64_t> parse_timestamp(Spelling spelling, std::string_view text) {
  switch (spelling) {
    case Spelling::kSqlite:
      return parse_sqlite(text);
    case Spelling::kIsoMsZ:
      return parse_iso_ms_z(text);
    case Spelling::kIso:
      return parse_iso(text);
    case Spelling::kTwitter:
      return parse_twitter(text);
    case Spelling::kUnix:
      return parse_count(text, kMicrosPerSecond);
    case Spelling::kUnixMs:
      return parse_count(text, 1000);
  }
  return std::nullopt;
}

std::optional<Recognised> recognise_timestamp(std::string_view text) {
  for (const Spelling spelling : {Spelling::kSqlite, Spelling::kIsoMsZ, Spelling::kIso,
                                  Spelling::kTwitter, Spelling::kUnix, Spelling::kUnixMs}) {
    if (const auto micros = parse_timestamp(spelling, text)) return Recognised{spelling, *micros};
  }
  return std::nullopt;
}

std::optional<std::string> format_timestamp(Spelling spelling, std::int64_t micros) {
  if (spelling == Spelling::kUnix) return format_count(micros, kMicrosPerSecond);
  if (spelling == Spelling::kUnixMs) return format_count(micros, 1000);
  if (spelling == Spelling::kSqlite && micros == kPlusInfinity) return "infinity";
  if (spelling == Spelling::kSqlite && micros == kMinusInfinity) return "-infinity";
  const auto t = break_down(micros);
  if (!t) return std::nullopt;
  switch (spelling) {
    case Spelling::kSqlite:
      return format_iso(*t, ' ', "");
    case Spelling::kIso:
      return format_iso(*t, 'T', "Z");
    case Spelling::kIsoMsZ:
      if (t->micros % 1000 != 0) return std::nullopt;
      return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", t->date.year, t->date.month,
                         t->date.day, t->hour, t->minute, t->second, t->micros / 1000);
    case Spelling::kTwitter:
      if (t->micros != 0) return std::nullopt;
      return fmt::format("{} {} {:02} {:02}:{:02}:{:02} +0000 {:04}",
                         kWeekdays[static_cast<std::size_t>(t->days - floor_div(t->days, 7) * 7)],
                         kMonths[static_cast<std::size_t>(t->date.month - 1)], t->date.day, t->hour,
                         t->minute, t->second, t->date.year);
    case Spelling::kUnix:
    case Spelling::kUnixMs:
      break;
  }
  return std::nullopt;
}

std::optional<std::string> imitate_iso(std::string_view previous, std::int64_t micros) {
  if (!parse_iso(previous) || previous.size() < 19) return std::nullopt;
  const std::size_t zone_at = previous.find_first_of("Z+-", 19);
  const std::string_view zone =
      zone_at == std::string_view::npos ? std::string_view() : previous.substr(zone_at);
  std::int64_t east = 0;
  if (!zone.empty() && zone != "Z" && !Taker(zone).offset(east)) return std::nullopt;
  if (micros == kPlusInfinity || micros == kMinusInfinity) return std::nullopt;
  std::int64_t local = 0;
  if (__builtin_add_overflow(micros, east * kMicrosPerSecond, &local)) return std::nullopt;
  const auto t = break_down(local);
  if (!t) return std::nullopt;
  return format_iso(*t, previous[10], zone);
}

std::optional<std::int64_t> parse_date(std::string_view text) {
  if (text == "infinity") return kPlusInfinity;
  if (text == "-infinity") return kMinusInfinity;
  Taker take(text);
  std::int64_t days = 0;
  if (!take.date(days) || !take.end()) return std::nullopt;
  return days;
}

std::optional<std::string> format_date(std::int64_t days) {
  if (days == kPlusInfinity) return "infinity";
  if (days == kMinusInfinity) return "-infinity";
  constexpr std::int64_t kFirst = days_of({0, 1, 1}), kLast = days_of({9999, 12, 31});
  if (days < kFirst || days > kLast) return std::nullopt;
  const Civil date = civil_of(days);
  return fmt::format("{:04}-{:02}-{:02}", date.year, date.month, date.day);
}

namespace {
constexpr std::array<std::pair<std::string_view, Spelling>, 6> kNames = {{
    {"sqlite", Spelling::kSqlite},
    {"iso-ms-z", Spelling::kIsoMsZ},
    {"iso", Spelling::kIso},
    {"twitter", Spelling::kTwitter},
    {"unix", Spelling::kUnix},
    {"unix-ms", Spelling::kUnixMs},
}};
}  // namespace

std::optional<Spelling> parse_spelling(std::string_view name) noexcept {
  for (const auto& [word, spelling] : kNames) {
    if (word == name) return spelling;
  }
  return std::nullopt;
}

std::string_view to_string(Spelling spelling) noexcept {
  for (const auto& [word, value] : kNames) {
    if (value == spelling) return word;
  }
  return "unknown";
}

}  // namespace switchback
