"""Reads YAML that has tabs between its tokens, which ruamel.yaml refuses. Knows no Kubernetes."""

from typing import Any

from ruamel.yaml.reader import Reader
from ruamel.yaml.scanner import RoundTripScanner

LINE_ENDS_OR_COMMENT = "#\n\r\x85\u2028\u2029\0"
NOWHERE = 1 << 30


class TabReader(Reader):
    """Shows tabs as spaces from the column `spaced_from` on; what is taken from the text stays what it is."""

    spaced_from = NOWHERE

    def peek(self, index: int = 0) -> str:
        letter = super().peek(index)
        return " " if letter == "\t" and self.column >= self.spaced_from else letter


class TabScanner(RoundTripScanner):
    """YAML 1.2, 6.2: tabs separate tokens as spaces do; 6.1: they do not indent.

    Where a key may begin libyaml, and so kubectl, takes none; here they may end such a line.
    """

    def scan_to_next_token(self) -> Any:
        while (comment := super().scan_to_next_token()) is None and self.reader.peek() == "\t":
            length = 1
            while self.reader.peek(length) in " \t":
                length += 1
            if self.allow_simple_key and self.reader.peek(length) not in LINE_ENDS_OR_COMMENT:
                break
            self.reader.forward(length)
        return comment

    def scan_plain_spaces(self, indent: Any, start_mark: Any) -> Any:
        return self._spaced(super().scan_plain_spaces, indent, start_mark, column=indent)

    def scan_block_scalar_indicators(self, start_mark: Any) -> Any:
        return self._spaced(super().scan_block_scalar_indicators, start_mark)

    def scan_block_scalar_ignored_line(self, start_mark: Any) -> Any:
        return self._spaced(super().scan_block_scalar_ignored_line, start_mark)

    def scan_tag(self) -> Any:
        return self._spaced(super().scan_tag)

    def scan_directive(self) -> Any:
        return self._spaced(super().scan_directive)

    def _spaced(self, scan: Any, *arguments: Any, column: int = 0) -> Any:
        self.reader.spaced_from = column
        try:
            return scan(*arguments)
        finally:
            self.reader.spaced_from = NOWHERE
