// Texts that match a regular expression of a schema (RE2: groups, classes, alternatives, repetitions).

/** Characters that a class which excludes some may be. */
const ANY = ['a', 'Z', '7', ' ', '-', '_', '.', '"', "'", '\\', '{', '$', '#', ':', 'é', '李', 'ف', '🦀', '\u200b', '\u200d', '\u3164', '\ud7ff'];

/** A text that `pattern` matches, by the numbers of `random`. */
export function sample(pattern, random) {
  const all = [...pattern];
  let at = 0;
  const below = n => Math.floor(random() * n);

  function escaped() {
    const kind = all[at++];
    if (kind === 'n') return '\n';
    if (kind !== 'x') return kind;
    const end = all[at] === '{' ? all.indexOf('}', at) : at + 1;
    const code = all.slice(all[at] === '{' ? at + 1 : at, all[at] === '{' ? end : end + 1).join('');
    at = end + 1;
    return String.fromCodePoint(parseInt(code, 16));
  }

  function oneOfClass() {
    const excluded = all[at] === '^';
    if (excluded) at += 1;
    const ranges = [];
    while (all[at] !== ']') {
      const next = () => (all[at] === '\\' ? (at++, escaped()) : all[at++]);
      const first = next().codePointAt(0);
      const isRange = all[at] === '-' && all[at + 1] !== ']';
      if (isRange) at += 1;
      ranges.push([first, isRange ? next().codePointAt(0) : first]);
    }
    at += 1;
    if (!excluded) {
      return () => {
        const [first, last] = ranges[below(ranges.length)];
        return String.fromCodePoint(first + below(last - first + 1));
      };
    }
    const allowed = ANY.filter(c => !ranges.some(([first, last]) => first <= c.codePointAt(0) && c.codePointAt(0) <= last));
    return () => allowed[below(allowed.length)];
  }

  function times() {
    const kind = all[at];
    const most = () => [0, 1, 2, 3, 8, 40][below(6)];
    if (kind === '*') return at++, most;
    if (kind === '+') return at++, () => 1 + most();
    if (kind === '?') return at++, () => below(2);
    if (kind !== '{') return () => 1;
    const end = all.indexOf('}', at);
    const [least, last = least] = all.slice(at + 1, end).join('').split(',').map(Number);
    at = end + 1;
    return () => Math.min(last, least + most());
  }

  function alternatives() {
    const choices = [[]];
    while (at < all.length && all[at] !== ')') {
      const c = all[at++];
      if (c === '|') {
        choices.push([]);
      } else if (c !== '^' && c !== '$') {
        const make = { '(': () => alternatives(), '[': () => oneOfClass(), '\\': () => (text => () => text)(escaped()) }[c]?.() ?? (() => c);
        if (c === '(') at += 1;
        const count = times();
        choices.at(-1).push(() => Array.from({ length: count() }, make).join(''));
      }
    }
    return () => choices[below(choices.length)].map(make => make()).join('');
  }

  return alternatives()();
}
