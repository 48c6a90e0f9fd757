"""Puts every mutant of a source file behind a switch, so that one build serves them all.

A mutant is one entry of `cargo mutants --list --json`. Each becomes a branch that is taken where `crate::mutation::active(id)` says so,
and stands between `/*<id*/` and `/*>*/`, by which a compiler's error finds the mutant that caused it.
"""

import re

import tree_sitter
import tree_sitter_rust

PARSER = tree_sitter.Parser(tree_sitter.Language(tree_sitter_rust.language()))
CONSTANT = {"const_item", "static_item", "const_block", "array_type"}


class Unswitchable(Exception):
    """There is no switch for this mutant at run time; says why."""


def active(mutant):
    return f"crate::mutation::active({mutant['id']})"


def marked(text, *mutants):
    return f"/*<{','.join(str(m['id']) for m in mutants)}*/{text}/*>*/"


def mutants_at(text, start, end):
    """The ids of the innermost marks around the bytes from `start` to `end`, none where there are none."""
    open_marks = []
    innermost = None
    for mark in re.finditer(rb"/\*<([\d,]+)\*/|/\*>\*/", text):
        if mark[1]:
            open_marks.append((mark.start(), mark[1]))
        else:
            begin, ids = open_marks.pop()
            # Inner marks close first.
            if begin <= start and end <= mark.end() and innermost is None:
                innermost = ids
    return [int(i) for i in innermost.split(b",")] if innermost else []


def offset(text, at):
    """The byte of a line and column, which count characters from 1."""
    lines = text.split(b"\n")
    in_line = lines[at["line"] - 1].decode()[: at["column"] - 1]
    return sum(len(line) + 1 for line in lines[: at["line"] - 1]) + len(in_line.encode())


def replaced(text, mutant):
    """The source with one mutant in it, without a switch."""
    start, end = (offset(text, mutant["span"][side]) for side in ("start", "end"))
    return text[:start] + mutant["replacement"].encode() + text[end:]


class Schemata:
    """The source `text` with all of `mutants` in it. `left_out` lists the (mutant, reason) that have no switch."""

    def __init__(self, text, mutants):
        self.text = text
        self.root = PARSER.parse(text).root_node
        self.by_node = {}
        self.left_out = []
        for mutant in mutants:
            try:
                node = self.place(mutant)
                self.by_node.setdefault(node.id, []).append(mutant)
            except Unswitchable as why:
                self.left_out.append((mutant, str(why)))

    def rendered(self):
        return self.render(self.root).encode()

    def source(self, node):
        return self.text[node.start_byte : node.end_byte].decode()

    def place(self, mutant):
        """The node whose rendering holds the mutant."""
        start = offset(self.text, mutant["span"]["start"])
        leaf = self.root.descendant_for_byte_range(start, start + 1)
        wanted = {
            "FnValue": {"function_item"},
            "BinaryOperator": {"binary_expression", "compound_assignment_expr", "let_chain"},
            "UnaryOperator": {"unary_expression"},
            "MatchArm": {"match_arm"},
            "MatchArmGuard": {"match_arm"},
            "StructField": {"field_initializer", "shorthand_field_initializer"},
        }[mutant["genre"]]
        node = leaf
        while node is not None and node.type not in wanted:
            node = node.parent
        if node is None:
            raise Unswitchable("not found in the source")
        if node.type == "let_chain":
            raise Unswitchable("a chain of `let` takes no `||`")
        around = node
        while around is not None:
            if around.type in CONSTANT:
                raise Unswitchable("constant")
            if around.type == "function_item":
                if any(c.type == "function_modifiers" and "const" in self.source(c) for c in around.children):
                    raise Unswitchable("constant")
                break
            around = around.parent
        # A mutant is a change of the text: `a + b + c` may become `a + b * c`, which the whole of it decides.
        while node.type == "binary_expression" and node.parent.type == "binary_expression":
            node = node.parent
        return node.child_by_field_name("body") if node.type == "function_item" else node

    def render(self, node):
        mutants = self.by_node.get(node.id)
        if mutants:
            how = {
                "block": self.function,
                "binary_expression": self.binary,
                "compound_assignment_expr": self.binary,
                "unary_expression": self.unary,
                "match_arm": self.arm,
            }.get(node.type, self.field)
            return how(node, mutants)
        return self.children(node)

    def children(self, node, begin=None):
        out, at = [], node.start_byte if begin is None else begin
        for child in node.children:
            if child.start_byte < at:
                continue
            out += [self.text[at : child.start_byte].decode(), self.render(child)]
            at = child.end_byte
        return "".join(out) + self.text[at : node.end_byte].decode()

    def function(self, body, mutants):
        if mutants[0]["function"]["return_type"].startswith("-> impl Iterator"):
            return self.iterator(body, mutants)
        returns = [marked(f"if {active(m)} {{ return {m['replacement']}; }}", m) for m in mutants]
        return "{\n" + "\n".join(returns) + self.children(body, body.start_byte + 1)

    def iterator(self, body, mutants):
        """An `impl Iterator` is of one type: everything or nothing of what the body returns, and then what a mutant does."""
        is_any = " || ".join(active(m) for m in mutants)
        chain = f"({self.children(body)}).take(if {is_any} {{ 0 }} else {{ usize::MAX }})"
        for m in mutants:
            returned = f"{active(m)}.then(|| {m['replacement']}).into_iter().flatten()"
            chain += f".chain({marked(returned, m)})"
        return f"{{ {chain} }}"

    def chosen(self, mutants, changed, otherwise):
        """The value of one of the mutants or `otherwise`. What a mutant changes holds no other mutant: one is on at a time."""
        branches = "".join(f"if {active(m)} {{ {marked(changed(m), m)} }}\nelse " for m in mutants)
        return marked(f"({branches}{{ {otherwise} }})", *mutants)

    def binary(self, node, mutants):
        def changed(mutant):
            start, end = (offset(self.text, mutant["span"][side]) for side in ("start", "end"))
            return self.text[node.start_byte : start].decode() + mutant["replacement"] + self.text[end : node.end_byte].decode()

        return self.chosen(mutants, changed, self.children(node))

    def unary(self, node, mutants):
        operator, operand = node.children[0], node.children[-1]
        return self.chosen(mutants, lambda m: self.source(operand), f"{self.source(operator)}{self.render(operand)}")

    def arm(self, node, mutants):
        pattern = node.child_by_field_name("pattern")
        condition = pattern.child_by_field_name("condition")
        guard = f"({self.render(condition)})" if condition else "true"
        for m in mutants:
            if m["genre"] == "MatchArm" or m["replacement"] == "false":
                guard = f"(!{active(m)} && {guard})"
            else:
                guard = f"({active(m)} || {guard})"
        bare = self.source(pattern.children[0]) if condition else self.source(pattern)
        before = self.text[node.start_byte : pattern.start_byte].decode()
        return before + bare + " if " + marked(guard, *mutants) + self.children(node, pattern.end_byte)

    def field(self, node, mutants):
        """A field that is left out has the value that the struct's base gives it."""
        base = next(self.source(c.children[-1]) for c in node.parent.children if c.type == "base_field_initializer")
        if node.type == "shorthand_field_initializer":
            name = value = self.source(node)
        else:
            name, value = (self.source(node.child_by_field_name(f)) for f in ("field", "value"))
        return f"{name}: " + self.chosen(mutants, lambda m: f"({base}).{name}", value)
