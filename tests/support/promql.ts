/** What the tests of `contrib/` read in PromQL expressions. */

/** The metrics and labels that an expression names. */
export interface Named {
  readonly metrics: readonly string[];
  /** Label matchers, each with its metric. */
  readonly matchers: readonly { readonly metric: string; readonly label: string; value: string }[];
  /** The labels in `by (…)`, `on (…)` and the like. */
  readonly grouping: readonly string[];
}

/** Reads an expression that is known to be valid. */
export function namedIn(expression: string): Named {
  const metrics: string[] = [];
  const matchers: { metric: string; label: string; value: string }[] = [];
  for (const [, metric, inner = ""] of expression.matchAll(/\b(stud_\w+)(?:\{([^}]*)\})?/g)) {
    metrics.push(metric!);
    for (const [, label, value] of inner.matchAll(/(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"/g)) {
      matchers.push({ metric: metric!, label: label!, value: value! });
    }
  }
  const groups = expression.matchAll(/\b(?:by|without|on|ignoring|group_left)\s*\(([^)]*)\)/g);
  const grouping = [...groups].flatMap(([, labels]) =>
    labels!.split(",").map((label) => label.trim()).filter((label) => label !== "")
  );
  return { metrics, matchers, grouping };
}

/** Replaces Grafana's variables, which Prometheus does not know, by values. */
export function withoutVariables(expression: string): string {
  return expression.replaceAll(/\$__\w+/g, "5m").replaceAll(/\$\w+/g, ".+");
}
