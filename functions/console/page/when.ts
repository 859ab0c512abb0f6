/** Times for people. */

/** Says an ISO 8601 time as a person would: today by the clock, other days with the day. */
export function whenIn(language: string, now: () => Date = () => new Date(), timeZone?: string) {
  const zone = timeZone === undefined ? {} : { timeZone };
  const day = new Intl.DateTimeFormat("en-CA", { dateStyle: "short", ...zone });
  return (iso: string): string => {
    const time = new Date(iso);
    if (Number.isNaN(time.getTime())) return iso;
    const today = day.format(time) === day.format(now());
    const style = today ? ({ timeStyle: "short" } as const) : ({ dateStyle: "medium", timeStyle: "short" } as const);
    return new Intl.DateTimeFormat(language, { ...style, ...zone }).format(time);
  };
}
