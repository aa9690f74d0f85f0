/** The benchmark's command line. No I/O: it runs on every runtime. */
import { parseArgs } from "node:util";

export interface Options {
  readonly list: boolean;
  readonly help: boolean;
  readonly quick: boolean;
  /** Measures each build with the admin endpoint off and on, without peers. */
  readonly admin: boolean;
  /** Names of workloads and programs; all if empty. */
  readonly only: readonly string[];
  readonly programs: readonly string[];
  /** A directory with builds of another version to compare with. */
  readonly before: string | undefined;
  readonly rounds: number;
  /** One run per element: whether backend connections begin with a PROXY header. */
  readonly prefixes: readonly boolean[];
  /** The directory for performance.md; undefined writes nothing. */
  readonly output: string | undefined;
}

export const HELP = `Usage: npm run bench -- [OPTIONS]
Compares stud's builds with hitch, HAProxy and nginx: CPU time per operation.

  --quick            2 short rounds, no prefix, without the slow workloads; writes nothing
  --only=NAME,...    these workloads
  --programs=NAME,.. these programs
  --admin            instead of the peers, each build also with --admin, scraped every second;
                     its ratio is to the same build without
  --before=DIR       the builds in DIR too, such as a copy of another commit's dist/
  --rounds=N         rounds that count, after the warm-up rounds (default 5)
  --prefix=none|proxy|both
                     PROXY headers to the backend (default both)
  --output=DIR       directory for performance.md and its plots (full run: docs)
  --list             print the names of workloads and programs
  --help             print this text
`;

const OPTIONS = {
  list: { type: "boolean" },
  help: { type: "boolean" },
  quick: { type: "boolean" },
  admin: { type: "boolean" },
  only: { type: "string" },
  programs: { type: "string" },
  before: { type: "string" },
  rounds: { type: "string" },
  prefix: { type: "string" },
  output: { type: "string" },
} as const;

const PREFIXES: Readonly<Record<string, readonly boolean[]>> = {
  none: [false],
  proxy: [true],
  both: [false, true],
};

/** Throws a one-line Error for an invalid argument; `known` lists the valid names. */
export function readOptions(
  argv: readonly string[],
  known: { workloads: readonly string[]; programs: readonly string[] },
): Options {
  const { values } = parseArgs({ args: [...argv], options: OPTIONS, allowPositionals: false });
  const quick = values.quick ?? false;
  const rounds = values.rounds ?? (quick ? "2" : "5");
  if (!/^[1-9]\d{0,2}$/.test(rounds)) {
    throw new Error(`--rounds=${rounds}: specify a number from 1 to 999`);
  }
  const prefix = values.prefix ?? (quick ? "none" : "both");
  const prefixes = PREFIXES[prefix];
  if (!prefixes) throw new Error(`--prefix=${prefix}: specify none, proxy or both`);
  const only = names("only", values.only, known.workloads);
  const programs = names("programs", values.programs, known.programs);
  // A partial run must not overwrite the full report.
  const admin = values.admin ?? false;
  const whole = !quick && !admin && only.length + programs.length === 0 && prefix === "both" &&
    values.before === undefined;
  return {
    list: values.list ?? false,
    help: values.help ?? false,
    quick,
    admin,
    only,
    programs,
    before: values.before,
    rounds: Number(rounds),
    prefixes,
    output: values.output ?? (whole ? "docs" : undefined),
  };
}

function names(option: string, text: string | undefined, known: readonly string[]): string[] {
  if (text === undefined) return [];
  const given = text.split(",").filter((name) => name !== "");
  for (const name of given) {
    if (!known.includes(name)) {
      throw new Error(`--${option}: ${name} is unknown; use one of ${known.join(", ")}`);
    }
  }
  return given;
}
