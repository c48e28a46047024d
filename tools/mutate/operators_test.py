#!/usr/bin/env python3
"""The operators of tools/mutate on a small source: what each offers, and what none may touch."""

import unittest

import operators

SOURCE = '''// a comment with a < b and "text"
#include <vector>

namespace gyrator {

constexpr int kOutside = 7;

struct Pair {
  int first = 3;
};

Status Check(int a, int b) {
  if (a < b && b != 0) return Status::Corruption("a < 1 && b, " + Name(a, b));
  GYRATOR_CHECK(a > 100);
  list.reserve(9);
  int sum = a + 1;
  sum += b;
  return {};
}

void Each(const Pair& pair) {
  if (int x = pair.first; x == 2) {
    Call(pair, [&](int y) {
      done = true;
      return y;
    });
  } else if (pair.first >= 5) {
    return;
  }
}

}  // namespace gyrator
'''


def offered(operator, source=SOURCE):
    """[(what stands there, what takes its place)]"""
    return [(source[m.begin:m.end], m.text) for m in operators.mutations(source)
            if m.operator == operator]


class OperatorsTest(unittest.TestCase):
    def test_blanked_text_keeps_its_length_and_its_lines(self):
        text = operators.blank(SOURCE)
        self.assertEqual(len(SOURCE), len(text))
        self.assertEqual(SOURCE.count("\n"), text.count("\n"))
        for gone in ("comment", "include", "a < 1"):
            self.assertNotIn(gone, text)

    def test_literals_with_quotes_and_raw_strings_are_blanked(self):
        for literal in (r'"a \" < "', r"'\''", r"'\"'", 'R"(a " < )"', 'R"x(a )" < )x"'):
            source = f"void F() {{\n  Call({literal});\n}}\n"
            self.assertEqual([], offered("comparison", source), literal)
            self.assertEqual(1, len(offered("statement", source)), literal)

    def test_digits_with_marks_are_no_characters(self):
        source = "void F() {\n  x = 1'000 < y ? 'a' : z;\n}\n"
        self.assertEqual([("<", "<="), ("<", ">")], offered("comparison", source))

    def test_bodies_are_those_of_functions_with_what_they_return(self):
        text = operators.blank(SOURCE)
        self.assertEqual(["return {};", "return;"], [body.returns for body in operators.bodies(text)])

    def test_comparisons(self):
        self.assertEqual([("<", "<="), ("<", ">"), ("!=", "=="), ("==", "!="), (">=", "<"),
                          (">=", ">")], offered("comparison"))

    def test_numbers(self):
        self.assertEqual([("0", "1"), ("1", "0"), ("1", "2"), ("2", "1"), ("2", "3"), ("5", "4"),
                          ("5", "6")], offered("off_by_one"))
        self.assertEqual([("true", "false"), ("2", "0"), ("5", "0")],
                         sorted(offered("constant"), key=lambda pair: pair[1] == "0"))

    def test_numbers_with_a_point_and_names_with_digits_stay(self):
        self.assertEqual([], offered("off_by_one", "void F() {\n  x1 = 2.5f + y32 + 1e3;\n}\n"))

    def test_logic_and_arithmetic(self):
        self.assertEqual([("&&", "||")], offered("logic"))
        self.assertEqual([("+", "-"), ("+", "-"), ("+=", "-=")], offered("arithmetic"))

    def test_conditions_are_negated_as_a_whole_behind_a_declaration(self):
        self.assertEqual([("a < b && b != 0", "!(a < b && b != 0)"), ("x == 2", "!(x == 2)"),
                          ("pair.first >= 5", "!(pair.first >= 5)")], offered("negation"))

    def test_statements_but_no_declarations_are_dropped(self):
        dropped = [before.split("(")[0] for before, _ in offered("statement")]
        self.assertEqual(["sum += b;", "Call", "done = true;", "return;"], dropped)

    def test_adjacent_arguments_are_swapped(self):
        swapped = [before.split(",")[0] + "|" + after.split(",")[0]
                   for before, after in offered("arguments")]
        self.assertEqual(["a|b", "pair|[&]"], [swap.split("(")[0] for swap in swapped])

    def test_early_returns_stand_in_the_function_itself(self):
        source = SOURCE
        placed = [source[m.begin:].split("\n")[0] for m in operators.mutations(source)
                  if m.operator == "early_return"]
        self.assertNotIn("done = true;", placed)
        self.assertIn("int sum = a + 1;", placed)

    def test_checks_and_reserved_room_are_left_out(self):
        for mutation in operators.mutations(SOURCE):
            around = SOURCE[SOURCE.rfind("\n", 0, mutation.begin):mutation.end]
            if mutation.operator != "early_return":
                self.assertNotIn("GYRATOR_CHECK", around)
                self.assertNotIn("reserve", around)

    def test_a_mutation_changes_its_place_alone(self):
        for mutation in operators.mutations(SOURCE):
            mutated = mutation.apply(SOURCE)
            self.assertNotEqual(SOURCE, mutated)
            self.assertTrue(mutated.startswith(SOURCE[:mutation.begin]))
            self.assertTrue(mutated.endswith(SOURCE[mutation.end:]))

    def test_a_trap_stands_before_the_statement_of_its_mutation(self):
        def trapped(fragment):
            at = SOURCE.index(fragment)
            return operators.probe(SOURCE, operators.Mutation("comparison", at, at + 1, ""))

        self.assertIn("__builtin_trap(); if (a < b", trapped("a < b && b"))
        self.assertIn("__builtin_trap(); sum += b;", trapped("+= b"))
        self.assertIn("__builtin_trap(); done = true;", trapped("true;"))
        self.assertIn("else if ((__builtin_trap(), false) || pair.first >= 5)", trapped("first >= 5"))
        self.assertIn("__builtin_trap(); return Status", trapped("Status::Corruption"))

    def test_labels_of_a_switch_are_not_part_of_their_statement(self):
        source = "void F() {\n  switch (x) {\n    case A::kB:\n      y = 1;\n  }\n}\n"
        self.assertEqual([("y = 1;", "{}")], offered("statement", source))
        at = source.index("1;")
        self.assertIn("      __builtin_trap(); y = 1;",
                      operators.probe(source, operators.Mutation("off_by_one", at, at + 1, "2")))


if __name__ == "__main__":
    unittest.main()
