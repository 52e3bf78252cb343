#include "control/cli/table.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

TEST(Table, AlignsAndLeavesNoTrailingSpace) {
  Table table({"NAME", "TYPE", "AGE"});
  table.add({"web", "LoadBalancer", "5s"});
  table.add({"a-longer-name", "ClusterIP", ""});
  EXPECT_EQ(table.text(),
            "NAME            TYPE           AGE\n"
            "web             LoadBalancer   5s\n"
            "a-longer-name   ClusterIP\n");
}

TEST(Table, CutsAndFillsRowsToTheHeader) {
  Table table({"A", "B"});
  table.add({"1"});
  table.add({"1", "2", "3"});
  EXPECT_EQ(table.text(), "A   B\n1\n1   2\n");
  EXPECT_EQ(table.size(), 2u);
}

TEST(Table, Utf8TakesTheColumnsItShows) {
  Table table({"NAME", "X"});
  table.add({"größe", "1"});
  EXPECT_EQ(table.text(), "NAME    X\ngröße   1\n");
}

TEST(Table, ControlCharactersDoNotReachTheTerminal) {
  Table table({"NAME"});
  table.add({"a\x1b[31mb\nc"});
  EXPECT_EQ(table.text(), "NAME\na?[31mb?c\n");
}

TEST(Table, SortsByCells) {
  Table table({"A", "B"});
  table.add({"b", "1"});
  table.add({"a", "2"});
  table.add({"a", "1"});
  table.sort();
  EXPECT_EQ(table.text(), "A   B\na   1\na   2\nb   1\n");
}

TEST(Joined, NothingIsNone) {
  EXPECT_EQ(joined({}), "<none>");
  EXPECT_EQ(joined({"a", "b"}), "a,b");
}

}  // namespace
}  // namespace sluice
