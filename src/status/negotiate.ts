import type { ExpositionFormat } from "./exposition.ts";

/** A media range of an Accept header with its weight (RFC 9110, sections 12.4.2 and 12.5.1). */
interface Range {
  readonly type: string;
  readonly version: string | undefined;
  /** 0 to 1; 0: not acceptable. */
  readonly weight: number;
}

/** The types and versions of each format; `*` ranges lead to the text format. */
const FORMATS: readonly {
  readonly format: ExpositionFormat;
  readonly type: string;
  readonly versions: readonly string[];
  readonly wildcards: readonly string[];
}[] = [
  { format: "text", type: "text/plain", versions: ["0.0.4"], wildcards: ["text/*", "*/*"] },
  {
    format: "openmetrics",
    type: "application/openmetrics-text",
    versions: ["1.0.0", "0.0.1"],
    wildcards: [],
  },
];

/**
 * Returns the format that a client prefers by its Accept header. OpenMetrics has to be named, and of
 * equal weights it wins then. A client that accepts neither gets the text format, as from other
 * exporters: an answer is of more use than an error.
 */
export function negotiate(accept: string | undefined): ExpositionFormat {
  const ranges = (accept ?? "").split(",").map(parseRange);
  const [text, openMetrics] = FORMATS.map(({ type, versions, wildcards }) => {
    const named = ranges.filter((range) =>
      range.type === type && (range.version === undefined || versions.includes(range.version))
    );
    // A named type takes precedence over a wildcard, and the more specific one over the other.
    const chosen = [named, ...wildcards.map((each) => ranges.filter(({ type }) => type === each))]
      .find((found) => found.length > 0) ?? [];
    return Math.max(0, ...chosen.map(({ weight }) => weight));
  });
  return openMetrics! > 0 && openMetrics! >= text! ? "openmetrics" : "text";
}

function parseRange(text: string): Range {
  const [type = "", ...parameters] = text.split(";").map((part) => part.trim().toLowerCase());
  const value = (name: string) =>
    parameters.find((each) => each.startsWith(`${name}=`))
      ?.slice(name.length + 1).replaceAll('"', "");
  const weight = value("q");
  return {
    type,
    version: value("version"),
    weight: weight === undefined ? 1 : parseWeight(weight),
  };
}

/** A malformed weight counts as not acceptable. */
function parseWeight(text: string): number {
  return /^(0(\.\d*)?|1(\.0*)?)$/.test(text) ? Number(text) : 0;
}
