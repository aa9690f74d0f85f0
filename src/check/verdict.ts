/** What a check concludes about one topic. */
export interface Verdict {
  readonly topic:
    | "address"
    | "chain"
    | "names"
    | "validity"
    | "key"
    | "trust"
    | "versions"
    | "cipher"
    | "group"
    | "ALPN"
    | "resumption"
    | "OCSP"
    | "end"
    | "SNI";
  readonly level: "ok" | "unknown" | "warning" | "problem";
  /** One sentence without its full stop. May contain text from the server. */
  readonly text: string;
  /** What to do, for a warning or a problem. */
  readonly remedy?: string;
}

type Say = (text: string, remedy: string) => Verdict;

/** Returns functions that make the verdicts of one topic. */
export function about(
  topic: Verdict["topic"],
): {
  readonly ok: (text: string) => Verdict;
  /** It could not be found out; `reason` says why. */
  readonly unknown: (reason: string) => Verdict;
  readonly warning: Say;
  readonly problem: Say;
} {
  return {
    ok: (text) => ({ topic, level: "ok", text }),
    unknown: (text) => ({ topic, level: "unknown", text }),
    warning: (text, remedy) => ({ topic, level: "warning", text, remedy }),
    problem: (text, remedy) => ({ topic, level: "problem", text, remedy }),
  };
}
