import { documentedMetrics } from "../src/master/metrics.ts";

/** Returns the table of all metrics in Markdown, as `deno fmt` writes it. */
export function metricTable(): string {
  const rows = documentedMetrics().map(({ name, type, help, labels }) => [
    `\`${name}\``,
    type,
    Object.entries(labels).map(([label, values]) => `\`${label}\`: ${values}`).join("; "),
    help,
  ]);
  const head = ["name", "type", "labels and their values", "meaning"];
  const widths = head.map((_, i) => Math.max(...[head, ...rows].map((row) => row[i]!.length)));
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, i) => cell.padEnd(widths[i]!)).join(" | ")} |`;
  return ["", line(head), line(widths.map((width) => "-".repeat(width))), ...rows.map(line), ""]
    .join("\n");
}
