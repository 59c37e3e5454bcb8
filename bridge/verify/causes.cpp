#include "bridge/verify/causes.h"

namespace switchback {
namespace {

std::string forward_cause(DifferenceSort sort) {
  switch (sort) {
    case DifferenceSort::kValue:
      return "changed in PostgreSQL past its fence, or in the old store unseen by capture "
             "(triggers "
             "off, blob I/O)";
    case DifferenceSort::kMissingInPostgres:
      return "deleted in PostgreSQL past its fence, or inserted in the old store unseen by capture "
             "(triggers off)";
    case DifferenceSort::kMissingInOld:
      return "inserted in PostgreSQL past its fence, or deleted in the old store unseen by capture "
             "(triggers off)";
    case DifferenceSort::kMisfit:
      return "the old store's row has no form in PostgreSQL";
  }
  return {};
}

std::string reverse_cause(DifferenceSort sort) {
  switch (sort) {
    case DifferenceSort::kValue:
      return "changed in the old store past its fence, or in PostgreSQL without being published "
             "(table out of the publication, an ALTER that rewrote it)";
    case DifferenceSort::kMissingInPostgres:
      return "inserted in the old store past its fence, or deleted in PostgreSQL without being "
             "published";
    case DifferenceSort::kMissingInOld:
      return "deleted in the old store past its fence, or inserted in PostgreSQL without being "
             "published";
    case DifferenceSort::kMisfit:
      return "the row cannot be expressed on the other side";
  }
  return {};
}

}  // namespace

std::string likely_cause(Side primary, DifferenceSort sort) {
  return primary == Side::kOld ? forward_cause(sort) : reverse_cause(sort);
}

}  // namespace switchback
