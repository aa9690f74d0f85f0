/** Which program's command line and configuration file are spoken. */
export type Dialect = "stud" | "hitch";
