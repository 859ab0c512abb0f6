/** The tables that `nova` prints. */

/**
 * The rows of the last table in `text`, by its head; a cell that goes on over several lines has them joined by blanks.
 * Empty when there is no table, or no row in it.
 */
export function tableRows(text: string): Record<string, string>[] {
  const lines = text.split("\n");
  const [top = lines.length, below = 0, end = 0] = lines
    .flatMap((line, i) => (/^\+[-+]+\+$/.test(line) ? [i] : []))
    .slice(-3);
  const [names = [], ...rows] = [...lines.slice(top + 1, below), ...lines.slice(below + 1, end)].map(
    cutAt(lines[top] ?? ""),
  );
  const whole: string[][] = [];
  for (const cells of rows) {
    const above = whole.at(-1);
    if (cells[0] !== "" || above === undefined) whole.push(cells);
    else
      whole.splice(
        -1,
        1,
        above.map((cell, i) => `${cell} ${cells[i] ?? ""}`.trim()),
      );
  }
  return whole.map((cells) => Object.fromEntries(names.map((name, i) => [name, cells[i] ?? ""])));
}

/** A table of two columns as one record. */
export function tableProperties(text: string): Record<string, string> {
  return Object.fromEntries(tableRows(text).map((row) => Object.values(row).slice(0, 2)));
}

/** Cuts a line into the cells between the corners of `border`: a cell may have a bar in it. */
function cutAt(border: string): (line: string) => string[] {
  const corners = [...border].flatMap((character, i) => (character === "+" ? [i] : []));
  return (line) => corners.slice(0, -1).map((corner, i) => line.slice(corner + 1, corners[i + 1]).trim());
}
