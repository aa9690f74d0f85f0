/** Metrics as data, before they are written in one of Prometheus' formats. */

/** All names begin with it. */
export const PREFIX = "stud_";

/** All series of one name. */
export type MetricFamily = PlainFamily | HistogramFamily;

interface Family {
  /** With the prefix `stud_`, the unit and, for counters, `_total`. */
  readonly name: string;
  /** One sentence. */
  readonly help: string;
  /** Counters and histograms: when they began, in seconds since 1970. */
  readonly created?: number;
}

export interface PlainFamily extends Family {
  readonly type: "counter" | "gauge";
  readonly samples: readonly { readonly labels: Labels; readonly value: number }[];
}

export interface HistogramFamily extends Family {
  readonly type: "histogram";
  /** The upper bounds of the buckets, ascending, without +Inf. */
  readonly bounds: readonly number[];
  readonly samples: readonly HistogramSample[];
}

export interface HistogramSample {
  readonly labels: Labels;
  /** Observations in each bucket, not cumulative; the last one is above all bounds. */
  readonly counts: readonly number[];
  readonly sum: number;
}

export type Labels = Readonly<Record<string, string>>;
