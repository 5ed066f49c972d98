// Fills the lists of items and revisions. Texts come from a model: they reach the page through textContent and nothing else.
"use strict";
(async () => {
  const block = document.getElementById("texts");
  if (!block) return;
  const PAGE = 25, LONG = 20000;

  async function unpack() {
    const bytes = Uint8Array.from(atob(JSON.parse(block.textContent)), c => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return JSON.parse(await new Response(stream).text());
  }

  function make(name, className, text) {
    const element = document.createElement(name);
    if (className) element.className = className;
    if (text !== undefined) element.textContent = visible(text);
    return element;
  }

  // Controls become their pictures, direction overrides and lone surrogates their code points, so that nothing hides or reorders what was written.
  function visible(text) {
    return String(text).replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]|\p{Cs}/gu, c => {
      const code = c.charCodeAt(0);
      return code < 0x20 ? String.fromCharCode(0x2400 + code) : code === 0x7f ? "␡" : `[U+${code.toString(16).toUpperCase().padStart(4, "0")}]`;
    });
  }

  // Marks the words of `text` that `other` does not have in the same order (longest common subsequence; long texts are left unmarked).
  function compared(text, other) {
    const pre = make("pre", "text");
    const a = visible(text).split(/(\s+)/), b = visible(other).split(/(\s+)/);
    if (a.length * b.length > 400000) { pre.textContent = visible(text); return pre; }
    const width = b.length + 1, longest = new Uint16Array((a.length + 1) * width);
    for (let i = a.length - 1; i >= 0; i--)
      for (let j = b.length - 1; j >= 0; j--)
        longest[i * width + j] = a[i] === b[j] ? longest[(i + 1) * width + j + 1] + 1 : Math.max(longest[(i + 1) * width + j], longest[i * width + j + 1]);
    let j = 0, run = "", marked = false;
    const flush = () => { if (run) { const part = marked ? document.createElement("mark") : document.createElement("span"); part.textContent = run; pre.append(part); } run = ""; };
    a.forEach((word, i) => {
      while (j < b.length && a[i] !== b[j] && longest[i * width + j + 1] >= longest[(i + 1) * width + j]) j++;
      const same = j < b.length && word === b[j];
      if (same) j++;
      const mark = !same && word.trim() !== "";
      if (mark !== marked) { flush(); marked = mark; }
      run += word;
    });
    flush();
    return pre;
  }

  // A text of a million letters takes a browser minutes to lay out: its start is shown, and the rest on demand.
  function said(text, other) {
    if (text.length <= LONG) return [other === undefined ? make("pre", "text", text) : compared(text, other)];
    const pre = make("pre", "text", text.slice(0, LONG) + " …");
    const button = make("button", "more", `Show all ${text.length.toLocaleString("en")} characters`);
    button.type = "button";
    button.addEventListener("click", () => { pre.textContent = visible(text); button.remove(); });
    return [pre, button];
  }

  function side(title, text, missed, other) {
    const box = make("div");
    box.append(make("h4", "", title), ...said(text, other));
    if (missed) box.append(make("p", "missed", missed.length ? "missed: " + missed.join(", ") : "missed nothing"));
    return box;
  }

  const STATES = {
    fixed: ["fixed", "good", "✓"], broken: ["broken", "bad", "✗"], right: ["right in both", "", "="], wrong: ["wrong in both", "", "≠"],
    improved: ["improved", "good", "✓"], same: ["no change", "", "="], worse: ["worse", "bad", "✗"], undecided: ["undecided", "", "?"],
    met: ["right", "good", "✓"], missed: ["wrong", "bad", "✗"],
  };

  const KINDS = {
    // Two responses to one item: the baseline's and the method's, or before and after training.
    pairs: {
      facets: { task: "Task", group: "Compared", seed: "Seed", state: "What happened", family: "Family" },
      row: (entry, texts) => {
        const item = texts.items[entry.task][entry.item];
        return { ...entry, id: item.id, prompt: item.prompt, target: item.target, family: item.family ?? "" };
      },
      words: row => [row.id, row.prompt, row.left, row.right, ...row.left_missed, ...row.right_missed],
      body: (row, box, texts) => {
        const [left, right] = texts.groups[row.group], sides = make("div", "sides");
        sides.append(side(left, row.left, row.left_missed, row.right), side(right, row.right, row.right_missed, row.left));
        box.append(side("Problem", row.prompt), sides, side("Reference", row.target));
      },
    },
    // One revision of training, in the order in which it came about.
    audits: {
      facets: { task: "Task", arm: "Method", seed: "Seed", state: "Reward" },
      row: entry => entry,
      words: row => [row.id, row.prompt, row.draft, row.guidance, row.revision, ...row.fixed, ...row.broken],
      body: (row, box) => {
        const steps = make("div", "steps");
        const reward = value => value === null ? "undecided" : value.toFixed(2);
        steps.append(
          side("Problem", row.prompt), side(`Draft (reward ${reward(row.before)})`, row.draft, undefined, row.revision),
          side("Guidance", row.guidance), side(`Revision (reward ${reward(row.after)})`, row.revision, undefined, row.draft));
        const flips = [...row.fixed.map(name => "fixed " + name), ...row.broken.map(name => "broke " + name)];
        steps.append(make("p", "missed", flips.length ? "What flipped: " + flips.join(", ") : "No criterion flipped."));
        box.append(steps);
      },
    },
    // One stored response of a leaderboard entry.
    samples: {
      facets: { seed: "Seed", state: "Answer", family: "Family" },
      row: entry => entry,
      words: row => [row.id, row.prompt, row.response, ...row.missed],
      body: (row, box) => box.append(side("Problem", row.prompt), side("Response", row.response, row.missed), side("Reference", row.target)),
    },
  };

  function browse(root, rows, kind, texts) {
    const form = root.querySelector(".filters"), list = root.querySelector(".list"), pager = root.querySelector(".pager");
    const noun = root.dataset.noun, controls = {};
    let page = 0, found = rows;

    const field = (name, title, control) => {
      const label = make("label", "", title);
      control.name = name;
      label.append(control);
      form.append(label);
      controls[name] = control;
    };
    const search = make("input");
    search.type = "search";
    search.autocomplete = "off";
    field("search", "Search", search);
    for (const [name, title] of Object.entries(kind.facets)) {
      const values = [...new Set(rows.map(row => row[name]))].filter(value => value !== undefined && value !== "").sort();
      if (values.length < 2) continue;
      const select = make("select");
      select.append(new Option("all", ""));
      for (const value of values) select.append(new Option(visible(name === "state" ? STATES[value][0] : value), String(value)));
      field(name, title, select);
    }

    function apply() {
      const wanted = search.value.trim().toLowerCase();
      found = rows.filter(row => {
        for (const name of Object.keys(kind.facets))
          if (controls[name] && controls[name].value !== "" && String(row[name]) !== controls[name].value) return false;
        if (!wanted) return true;
        row.haystack ??= kind.words(row).join("\n").toLowerCase();
        return row.haystack.includes(wanted);
      });
      page = 0;
      show();
    }

    function show() {
      const pages = Math.max(1, Math.ceil(found.length / PAGE));
      root.querySelector(".count").textContent = `${found.length.toLocaleString("en")} of ${rows.length.toLocaleString("en")} ${noun}`;
      list.replaceChildren(...found.slice(page * PAGE, (page + 1) * PAGE).map(entry));
      const go = (title, to) => {
        const button = make("button", "", title);
        button.type = "button";
        button.disabled = to < 0 || to >= pages;
        button.addEventListener("click", () => { page = to; show(); root.scrollIntoView({ block: "start" }); });
        return button;
      };
      pager.replaceChildren();
      if (pages > 1) pager.append(go("Previous", page - 1), make("span", "", `page ${page + 1} of ${pages}`), go("Next", page + 1));
    }

    function entry(row) {
      const line = make("li"), details = make("details"), summary = make("summary");
      const [word, tone, sign] = STATES[row.state];
      const gist = make("span", "gist", row.prompt.slice(0, 300).replace(/\s+/g, " "));
      gist.append(make("span", "where", row.id));
      summary.append(make("span", "state " + tone, `${sign} ${word}`), gist);
      details.append(summary);
      details.addEventListener("toggle", () => {
        if (!details.open || details.querySelector(".body")) return;
        const box = make("div", "body");
        const where = [row.task, row.arm ?? row.group, row.seed === undefined ? "" : `seed ${row.seed}`, row.step === undefined ? "" : `step ${row.step}`, row.id];
        box.append(make("p", "note", where.filter(Boolean).join(" · ")));
        kind.body(row, box, texts);
        details.append(box);
      });
      line.append(details);
      return line;
    }

    form.addEventListener("submit", event => event.preventDefault());
    form.addEventListener("input", apply);
    apply();
  }

  try {
    const texts = await unpack();
    for (const [name, kind] of Object.entries(KINDS)) {
      const root = document.getElementById(name);
      if (root && texts[name]) browse(root, texts[name].map(entry => kind.row(entry, texts)), kind, texts);
    }
    document.documentElement.dataset.ready = "yes";
  } catch (error) {
    for (const count of document.querySelectorAll(".count")) count.textContent = "This list could not be unpacked here (a browser of 2023 or later is needed).";
    console.error(error);
  }
})();
