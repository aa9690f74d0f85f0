/** The outcomes as text. Pure. */
import type { Outcome } from "./runner.ts";

const MIB = 1024 * 1024;

/** For the terminal: one line, and one for each problem. */
export function outcomeText(outcome: Outcome): string {
  const { scenario, target, seconds, problems } = outcome;
  const cells = cellsOf(outcome);
  const head = `${problems.length ? "✖" : "✔"} ${scenario.name.padEnd(20)}${
    target.name.padEnd(16)
  }`;
  const lines = problems.map((problem) => `    ${problem.replaceAll("\n", "\n    ")}`);
  const { connections, refused, cut, late, corrupted, memory, descriptors } = cells;
  const text = `${connections} connections, refused ${refused}, cut ${cut}, late ${late}, ` +
    `corrupted ${corrupted}, ${memory} MiB, ${descriptors} descriptors, ${seconds.toFixed(0)} s`;
  const allowed = [...outcome.allowed].map(([reason, count]) => `    ${count} allowed: ${reason}`);
  const notes = outcome.notes.map((note) => `    ${note}`);
  return [head + text, ...notes, ...allowed, ...lines].join("\n");
}

/** The table of docs/reliability.md, and what was allowed. */
export function markdown(outcomes: readonly Outcome[], making: readonly string[]): string {
  const reasons = [...new Set(outcomes.flatMap(({ allowed }) => [...allowed.keys()]))];
  const rows = outcomes.map((outcome) => {
    const { scenario, target, allowed, notes, problems } = outcome;
    const cells = cellsOf(outcome);
    const marks = [...allowed].map(([reason, count]) =>
      `${count} [${reasons.indexOf(reason) + 1}]`
    );
    const title = `${scenario.title} (\`${scenario.name}\`)`;
    const remarks = [...notes, ...marks.length ? [`right: ${marks.join(", ")}`] : []];
    return `| ${title} | ${target.name} | ${Object.values(cells).join(" | ")} | ` +
      `${remarks.join("; ")} | ${problems.length ? "**no**" : "yes"} |`;
  });
  return [
    "",
    ...making.map((line) => `- ${line}`),
    "",
    "| fault | build | connections | refused | cut | late | corrupted | memory, MiB | descriptors | remarks | kept |",
    `|---|---|${"---|".repeat(9)}`,
    ...rows,
    "",
    ...reasons.map((reason, index) => `${index + 1}. ${reason}`),
    "",
  ].join("\n");
}

/** In the order of the columns. */
function cellsOf(outcome: Outcome) {
  const { connections, refused, cut, late, corrupted, memory, descriptors } = outcome;
  const mib = (bytes: number) => (bytes / MIB).toFixed(0);
  return {
    connections: String(connections),
    refused: String(refused),
    cut: String(cut),
    late: String(late),
    corrupted: String(corrupted),
    memory: `${mib(memory.before)} → ${mib(memory.peak)} → ${mib(memory.after)}`,
    descriptors: `${descriptors.before} → ${descriptors.after}`,
  };
}
