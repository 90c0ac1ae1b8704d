"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const data = JSON.parse(byId("data").textContent);
  const wells = data.wells;
  const SVG = "http://www.w3.org/2000/svg";

  // Elements are made of nodes, never of markup: texts from files stay texts.
  const fill = (node, attributes, children) => {
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.append(...children.flat().filter((child) => child !== null));
    return node;
  };
  const el = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
  const draw = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

  // As write_value in scales.py.
  const DECIMALS = { pixels: 2, number: 3, ratio: 2, count: 0 };
  const fixed = (value, digits) => value.toFixed(digits).replace(/^-(?=0\.?0*$)/, "");
  const write = (value, kind) => {
    if (value === null) return "–";
    if (kind === "text") return String(value);
    if (kind === "words") return value.join(", ");
    if (kind === "share") return `${fixed(100 * value, Math.abs(100 * value) < 1 ? 2 : 1)} %`;
    if (kind === "signed") return (value >= 0.005 ? "+" : "") + fixed(value, 2).replace("-", "−");
    return fixed(value, DECIMALS[kind]);
  };
  const withUnit = (value, kind) => write(value, kind) + (value !== null && (kind === "pixels" || kind === "signed") ? " px" : "");
  // As Scale.step in scales.py: 0 is the best.
  const step = (figure, value, edges) =>
    figure.worse === "high" ? edges.filter((e) => e < value).length : edges.filter((e) => e > value).length;
  const quantile = (values, share) => {
    const ordered = [...values].sort((a, b) => a - b);
    const place = share * (ordered.length - 1), low = Math.floor(place);
    return ordered.length ? ordered[low] + (place - low) * (ordered[Math.min(low + 1, ordered.length - 1)] - ordered[low]) : 0;
  };
  const direction = ([y, x]) =>
    `${Math.abs(y).toFixed(2)} px ${y >= 0 ? "down" : "up"}, ${Math.abs(x).toFixed(2)} px ${x >= 0 ? "right" : "left"}`;

  // ---- details of a well: blocks of JSON behind this script, read when a well is opened

  const read = (name) => JSON.parse(byId(name)?.textContent ?? "[]");
  const KINDS = { overlay: "Overlay", before: "Before", after: "After", fields: "Fields" };
  const pictures = (i) => {
    const embedded = read(`pictures-${i}`), folder = [...data.folder.split("/"), ...wells[i].n.split("/")];
    return read(`well-${i}`).P.map(([kind, acquisition, file, alt, width, height], k) => {
      const linked = !embedded[k], address = [...folder, ...file.split("/")].map(encodeURIComponent).join("/");
      return { kind, acquisition, alt, width, height, linked, source: linked ? address : embedded[k], title: `${KINDS[kind] ?? kind}, acquisition ${acquisition}` };
    });
  };

  // ---- maps of the plate

  const cells = (svg) => [...svg.querySelectorAll("[role=gridcell]")];
  const heat = byId("heat"), vectors = byId("vectors");

  // Arrow keys move the focus to the next well in their direction; Tab leaves the map.
  const walk = (svg, describe, readout) => {
    const all = cells(svg), at = new Map(all.map((cell) => [cell.dataset.at, cell]));
    const rows = Math.max(0, ...all.map((c) => +c.dataset.at.split(",")[0])), columns = Math.max(0, ...all.map((c) => +c.dataset.at.split(",")[1]));
    let current = all[0];
    current?.setAttribute("tabindex", "0");
    const focus = (cell) => {
      current.setAttribute("tabindex", "-1");
      current = cell;
      cell.setAttribute("tabindex", "0");
      cell.focus();
    };
    const next = (cell, dy, dx) => {
      let [y, x] = cell.dataset.at.split(",").map(Number);
      for (;;) {
        [y, x] = [y + dy, x + dx];
        if (y < 0 || x < 0 || y > rows || x > columns) return null;
        if (at.has(`${y},${x}`)) return at.get(`${y},${x}`);
      }
    };
    const show = (cell) => {
      const [name, ...rest] = describe(cell);
      readout.replaceChildren(el("b", {}, name), ` ${rest.join(" · ")}`);
    };
    const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    // On the box around it: an SVG element that listens to the focus would get the focus itself.
    const box = svg.parentElement;
    box.addEventListener("keydown", (event) => {
      const cell = event.target.closest("[role=gridcell]");
      if (!cell || event.altKey || event.metaKey || event.ctrlKey) return;
      const inRow = () => all.filter((c) => c.dataset.at.split(",")[0] === cell.dataset.at.split(",")[0]);
      if (event.key in STEPS) focus(next(cell, ...STEPS[event.key]) ?? cell);
      else if (event.key === "Home") focus(inRow()[0]);
      else if (event.key === "End") focus(inRow().at(-1));
      else if ((event.key === "Enter" || event.key === " ") && cell.dataset.i) open(+cell.dataset.i);
      else return;
      event.preventDefault();
    });
    box.addEventListener("click", (event) => {
      const cell = event.target.closest("[role=gridcell]");
      if (cell) focus(cell);
      if (cell?.dataset.i) open(+cell.dataset.i);
    });
    for (const name of ["pointerover", "focusin"])
      box.addEventListener(name, (event) => {
        const cell = event.target.closest("[role=gridcell]");
        if (cell) show(cell);
      });
    return () => {
      for (const cell of all) {
        const [name, ...rest] = describe(cell);
        cell.setAttribute("aria-label", `${name}: ${rest.join(", ")}`);
      }
    };
  };

  const figureChoice = byId("figure"), edgesChoice = byId("edges");
  const figure = () => (figureChoice.value === "verdict" ? null : data.figures[+figureChoice.value]);
  const describeFigure = (cell) => {
    if (!cell.dataset.i) return [cell.dataset.name, `left out: ${cell.dataset.why}`];
    const well = wells[cell.dataset.i], chosen = figure(), word = data.verdicts[well.v];
    if (!chosen) return [well.n, word, ...well.r];
    return [well.n, `${chosen.title} ${withUnit(well.f[data.figures.indexOf(chosen)], chosen.kind)}`, word];
  };
  const labelHeat = walk(heat, describeFigure, byId("heat-readout"));

  const swatch = (kind, sign) =>
    draw("svg", { viewBox: "0 0 36 36", "aria-hidden": "true" }, draw("rect", { class: kind, width: 36, height: 36, rx: 5, ...(kind === "absent" ? { fill: "url(#heat-hatch)" } : {}) }), sign ? draw("text", { class: "sign", x: 18, y: 18 }, sign) : null);
  const legendOf = (chosen, edges) => {
    const rest = [["absent", "", "no figures"]];
    if (!chosen) return [...["good", "look", "bad", "empty"].map((v) => [`v-${v}`, data.signs[v], data.verdicts[v]]), ["absent", "o", "left out"], ["absent", "", "no well"]];
    const text = edges.map((edge) => (chosen.kind === "share" ? `${+(100 * edge).toPrecision(3)} %` : String(edge)) + (chosen.kind === "pixels" ? " px" : ""));
    const high = chosen.worse === "high", last = edges.length - 1;
    const names = edges.map((_, k) => (k === 0 ? (high ? (edges[0] === 0 ? text[0] : `≤ ${text[0]}`) : `≥ ${text[last]}`) : high ? `≤ ${text[k]}` : `≥ ${text[last - k]}`));
    names.push(high ? `> ${text[last]}` : `< ${text[0]}`);
    return [...names.map((name, k) => [`s${k}`, "", name]), ...rest];
  };
  const paint = () => {
    const chosen = figure(), which = chosen ? data.figures.indexOf(chosen) : -1;
    const edges = chosen ? chosen[edgesChoice.value] : [];
    const small = new Set(cells(heat).map((cell) => cell.dataset.at.split(",")[1])).size <= 12;
    edgesChoice.disabled = !chosen;
    for (const cell of cells(heat)) {
      if (!cell.dataset.i) continue;
      const well = wells[cell.dataset.i], value = chosen ? well.f[which] : null;
      const rect = cell.querySelector("rect"), sign = data.signs[well.v];
      rect.removeAttribute("fill");
      if (!chosen) rect.setAttribute("class", `v-${well.v}`);
      else if (value === null) {
        rect.setAttribute("class", "absent");
        rect.setAttribute("fill", "url(#heat-hatch)");
      } else rect.setAttribute("class", `s${step(chosen, value, edges)}`);
      for (const text of cell.querySelectorAll("text")) text.remove();
      const number = small && chosen && value !== null;
      if (number) cell.append(draw("text", { class: "value", x: 18, y: sign && well.v !== "empty" ? 25 : 18 }, write(value, chosen.kind).replace(/(\.\d)? %$/, "").replace(/(\.\d\d)\d$/, "$1")));
      if (sign && !(chosen && well.v === "empty")) cell.append(draw("text", { class: "sign", x: 18, y: number ? 10 : 18 }, sign));
    }
    const meaning = chosen?.meaning ?? "";
    byId("figure-meaning").textContent = chosen ? `${meaning[0]?.toUpperCase() ?? ""}${meaning.slice(1)}. ${chosen.worse === "high" ? "Low" : "High"} is better. The stronger the colour, the worse the value.` : "The verdict about each well.";
    byId("legend").replaceChildren(...legendOf(chosen, edges).map(([kind, sign, text]) => el("li", {}, swatch(kind, sign), text)));
    labelHeat();
  };
  figureChoice.addEventListener("change", paint);
  edgesChoice.addEventListener("change", paint);

  // ---- arrows

  // A line with a head; a longer one than `most` is cut off and dashed.
  const arrow = (x, y, dx, dy, most, kind = "") => {
    const length = Math.hypot(dx, dy), cut = length > most, shown = cut ? most / length : 1;
    const [ex, ey] = [x + dx * shown, y + dy * shown], head = Math.min(0.4 * length * shown, 0.22 * most), angle = Math.atan2(dy, dx);
    const wing = (turn) => `${(ex - head * Math.cos(angle + turn)).toFixed(1)} ${(ey - head * Math.sin(angle + turn)).toFixed(1)}`;
    return draw("path", { class: `arrow ${kind}${cut ? " cut-off" : ""}`, d: `M${x.toFixed(1)} ${y.toFixed(1)}L${ex.toFixed(1)} ${ey.toFixed(1)}M${wing(0.5)}L${ex.toFixed(1)} ${ey.toFixed(1)}L${wing(-0.5)}` });
  };
  const shiftChoice = byId("acquisition"), common = byId("common");
  let offset = [0, 0];
  const shiftOf = (well) => {
    const shift = well.s[+shiftChoice.value] ?? null;
    return shift && shift.every((v) => v !== null) ? [shift[0] - offset[0], shift[1] - offset[1]] : null;
  };
  const describeShift = (cell) => {
    if (!cell.dataset.i) return [cell.dataset.name, `left out: ${cell.dataset.why}`];
    const well = wells[cell.dataset.i], shift = shiftOf(well);
    return [well.n, shift ? direction(shift) : "no shift is known"];
  };
  const labelVectors = walk(vectors, describeShift, byId("vectors-readout"));
  const point = () => {
    offset = [0, 0];
    const shifts = wells.map(shiftOf).filter((s) => s !== null);
    const middle = [0, 1].map((axis) => quantile(shifts.map((s) => s[axis]), 0.5));
    if (common.checked) offset = middle;
    const longest = quantile(shifts.map(([y, x]) => Math.hypot(y - offset[0], x - offset[1])), 0.98);
    const unit = 34 / Math.max(longest, 1); // as units_per_pixel in arrows.py
    const arrows = [];
    for (const cell of cells(vectors)) {
      if (!cell.dataset.i) continue;
      const well = wells[cell.dataset.i], shift = shiftOf(well), rect = cell.querySelector("rect");
      rect.setAttribute("class", shift ? "plain" : "absent");
      if (shift) rect.removeAttribute("fill");
      else rect.setAttribute("fill", "url(#vectors-hatch)");
      if (!shift) continue;
      const [tx, ty] = cell.getAttribute("transform").match(/[\d.]+/g).map(Number);
      const [dx, dy] = [shift[1] * unit, shift[0] * unit], shown = Math.min(1, 44 / (Math.hypot(dx, dy) || 1));
      arrows.push(arrow(tx + 18 - (dx * shown) / 2, ty + 18 - (dy * shown) / 2, dx, dy, 44, well.v === "bad" ? "bad" : ""));
    }
    vectors.querySelector(".arrows").replaceChildren(...arrows);
    byId("vectors-scale").textContent = shifts.length
      ? `Common shift of the plate: ${direction(middle)}. An arrow as long as a well is wide is ${(36 / unit).toPrecision(3)} px${common.checked ? "; the common shift is subtracted" : ""}. Dashed arrows are longer than drawn; wells with the verdict bad have bold arrows.`
      : "No shifts are known for this acquisition.";
    labelVectors();
  };
  shiftChoice.addEventListener("change", point);
  common.addEventListener("change", point);

  // ---- tables that sort

  // `value(row, column)` is a number, a text, or null, which is last in both directions.
  const compare = (a, b) => (typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a - b);
  const sortable = (table, value) => {
    const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
    const first = [...body.rows];
    heads.forEach((head, column) =>
      head.querySelector("button").addEventListener("click", () => {
        const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
        for (const other of heads) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
        const keyed = first.map((row, k) => [value(row, column), k, row]);
        keyed.sort(([a, k], [b, l]) => (a === null || b === null ? (a === null) - (b === null) : sign * compare(a, b)) || k - l);
        body.append(...keyed.map(([, , row]) => row));
      })
    );
  };
  const SEVERITY = ["bad", "look", "empty", "good"];
  const wellTable = byId("well-table");
  sortable(wellTable, (row, column) => {
    const i = +row.dataset.i, well = wells[i];
    if (column === 0) return i;
    if (column === 1) return SEVERITY.indexOf(well.v);
    if (column < 2 + data.figures.length) return well.f[column - 2];
    return well.r.join("; ") || null;
  });

  const verdict = byId("verdict"), text = byId("text");
  const filter = () => {
    const wanted = text.value.trim().toLowerCase(), rows = [...wellTable.tBodies[0].rows];
    let shown = 0;
    for (const row of rows) {
      const well = wells[row.dataset.i];
      const fits = verdict.value === "" || well.v === verdict.value || (verdict.value === "flagged" && (well.v === "bad" || well.v === "look"));
      row.hidden = !(fits && [well.n, well.n.replace("/", ""), ...well.r].join("\n").toLowerCase().includes(wanted));
      shown += !row.hidden;
    }
    byId("shown").textContent = `${shown} of ${rows.length} ${rows.length === 1 ? "well" : "wells"}`;
    byId("none-shown").hidden = shown > 0 || rows.length === 0;
  };
  const choose = (value) => {
    [verdict.value, text.value] = [value, ""];
    filter();
  };
  verdict.addEventListener("change", filter);
  text.addEventListener("input", filter);
  byId("show-all").addEventListener("click", () => {
    choose("");
    text.focus();
  });
  for (const link of document.querySelectorAll("a[data-verdict]")) link.addEventListener("click", () => choose(link.dataset.verdict));
  for (const form of document.forms) form.addEventListener("submit", (event) => event.preventDefault());

  // ---- one well

  const overview = byId("overview"), place = byId("well");
  const address = (i) => `#well=${encodeURIComponent(wells[i].n)}`;
  const open = (i) => (location.hash = address(i));
  const named = (acquisition, well) => `Acquisition ${acquisition}${well.c[acquisition] ? ` (${well.c[acquisition]})` : ""}${acquisition === well.ref ? ", reference" : ""}`;
  // Texts in backticks are code, as in page.html.
  const code = (sentence) => sentence.split("`").map((part, k) => (k % 2 ? el("code", {}, part) : part));

  const headOf = (i) => {
    const well = wells[i], flagged = data.worst.filter((k) => ["bad", "look"].includes(wells[k].v));
    const after = flagged[flagged.indexOf(i) + 1];
    const link = (k, label) => (k === undefined || !wells[k] ? null : el("a", { href: address(k) }, label));
    return el("div", { class: "well-head" },
      el("h1", { tabindex: "-1" }, `Well ${well.n}`, el("span", { class: `badge v-${well.v}` }, data.verdicts[well.v])),
      el("nav", { class: "buttons", "aria-label": "Wells" }, el("a", { href: "#plate", id: "back" }, "Back to the plate"), link(i - 1, `← ${wells[i - 1]?.n}`), link(i + 1, `${wells[i + 1]?.n} →`), link(after, `Next to look at: ${wells[after]?.n}`)));
  };
  const factsOf = (well) => [
    well.r.length ? el("ul", {}, well.r.map((reason) => el("li", {}, reason))) : el("p", {}, well.v === "empty" ? "The reference has too little structure to judge by." : "Nothing is flagged."),
    el("dl", { class: "facts" }, data.figures.map((f, k) => el("div", { title: f.meaning }, el("dt", {}, f.title), el("dd", {}, withUnit(well.f[k], f.kind))))),
    well.t.length ? el("h2", {}, "What to do next") : null,
    well.t.length ? el("ul", { class: "steps" }, well.t.map((k) => el("li", {}, code(data.steps[k])))) : null,
    Object.keys(well.x).length ? el("div", { class: "note" }, Object.entries(well.x).map(([acquisition, why]) => el("p", {}, `Acquisition ${acquisition} is not compared: ${why}`))) : null,
  ];

  const pictureOf = (all, i, picture, k) => {
    const image = el("img", { src: picture.source, alt: picture.alt, width: picture.width, height: picture.height, loading: "lazy", decoding: "async" });
    const button = el("button", { type: "button" }, image);
    button.addEventListener("click", () => view(all, i, k));
    const file = picture.linked ? el("a", { href: picture.source }, "Open the file") : null;
    return el("figure", {}, button, el("figcaption", {}, el("b", {}, KINDS[picture.kind] ?? picture.kind), picture.alt, file ? [" ", file] : null));
  };
  const picturesOf = (i, all) => {
    const well = wells[i], linked = all.filter((p) => p.linked).length;
    if (!all.length) return [el("p", {}, "There are no pictures of this well.")];
    return [
      linked ? el("p", { class: "note" }, `${linked} of ${all.length} pictures are not in this page. They are files in the folder ${well.n} beside it, and are shown if the page is in its folder.`) : null,
      ...data.acquisitions.map((acquisition) => {
        const found = all.map((p, k) => [p, k]).filter(([p]) => p.acquisition === acquisition);
        return found.length ? el("div", {}, el("h3", {}, named(acquisition, well)), el("div", { class: "pictures" }, found.map(([p, k]) => pictureOf(all, i, p, k)))) : null;
      }),
    ];
  };

  const RESIDUAL = data.figures.find((f) => f.key === "residual_px");
  const cyclesOf = (well) => {
    if (!well.C.length) return [el("p", {}, "No two acquisitions of this well can be compared.")];
    const numbers = [...new Set(well.C.flatMap(([a, b]) => [a, b]))].sort((a, b) => a - b);
    const found = new Map(well.C.map(([a, b, ...rest]) => [`${Math.min(a, b)},${Math.max(a, b)}`, rest]));
    const cell = (a, b) => {
      const figures = found.get(`${b},${a}`);
      if (!figures) return el("td", {}, "");
      const [median, p95, within, blocks] = figures;
      return el("td", { class: median === null ? "" : `s${step(RESIDUAL, median, RESIDUAL.fixed)}`, title: `${blocks} blocks` }, el("b", {}, write(median, "pixels")), el("small", {}, `p95 ${write(p95, "pixels")}`), el("small", {}, `${write(within, "share")} ≤ 1 px`));
    };
    return [el("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": "Acquisitions against each other" }, el("table", { class: "cycles" },
      el("caption", {}, "Each pair of acquisitions: median residual and 95th percentile in pixels, and the share of the blocks within 1 px. The colours are those of the residual in the map."),
      el("thead", {}, el("tr", {}, el("td", {}, ""), numbers.slice(0, -1).map((b) => el("th", { scope: "col" }, String(b))))),
      el("tbody", {}, numbers.slice(1).map((a, r) => el("tr", {}, el("th", { scope: "row" }, String(a)), numbers.slice(0, r + 1).map((b) => cell(a, b)))))))];
  };

  const COLUMN = Object.fromEntries(data.columns.map(([title], k) => [title, k]));
  const fieldMaps = (well) => {
    const boxes = well.F.map((f) => f.at(-1));
    if (!boxes.length) return [];
    const [top, left] = [0, 1].map((k) => Math.min(...boxes.map((b) => b[k]))), [bottom, right] = [2, 3].map((k) => Math.max(...boxes.map((b) => b[k])));
    const size = Math.min(...boxes.map((b) => Math.min(b[2] - b[0], b[3] - b[1])));
    const residual = (f) => [f[COLUMN["Residual y"]], f[COLUMN["Residual x"]]];
    const longest = Math.max(0, ...well.F.map(residual).filter(([y]) => y !== null).map(([y, x]) => Math.hypot(y, x)));
    // One, two or five times a power of ten, so that the longest arrow takes a good part of a field.
    const most = Math.max(1, (0.45 * size) / Math.max(longest, 0.2)), power = 10 ** Math.floor(Math.log10(most));
    const magnified = power * [5, 2, 1].find((k) => k * power <= most);
    const one = (acquisition) => {
      const fields = well.F.filter((f) => f[0] === acquisition), flagged = fields.filter((f) => f[COLUMN.Flags].length);
      const marks = fields.map((f) => {
        const [t, l, b, r] = f.at(-1), [dy, dx] = residual(f), flags = f[COLUMN.Flags];
        const words = `${f[COLUMN.Field]}: ${flags.length ? flags.join(", ") : "not flagged"}; residual ${dy === null ? "unknown" : direction([dy, dx])}`;
        const [cy, cx] = [(t + b) / 2, (l + r) / 2];
        return draw("g", {}, draw("title", {}, words), draw("rect", { class: `outline${flags.length ? " flagged" : ""}`, x: l, y: t, width: r - l, height: b - t }),
          draw("text", { class: "field-name", x: l + 0.06 * size, y: t + 0.15 * size, "font-size": 0.1 * size }, f[COLUMN.Field] + (flags.length ? " !" : "")),
          dy === null ? null : draw("circle", { class: "dot", cx, cy, r: 0.02 * size }), dy === null ? null : arrow(cx, cy, dx * magnified, dy * magnified, size, flags.includes("misplaced") ? "bad" : ""));
      });
      const space = 0.03 * size;
      const label = `Fields of acquisition ${acquisition}: ${flagged.length ? flagged.map((f) => `${f[COLUMN.Field]} ${f[COLUMN.Flags].join(", ")}`).join("; ") : "none is flagged"}`;
      return el("figure", {}, draw("svg", { role: "img", "aria-label": label, viewBox: `${left - space} ${top - space} ${right - left + 2 * space} ${bottom - top + 2 * space}` }, marks), el("figcaption", {}, named(acquisition, well), flagged.length ? el("span", { class: "flag" }, ` – ${flagged.length} flagged`) : null));
    };
    return [el("p", {}, `Outlines of the fields; arrows show the residual, ${magnified} times as long as it is: what would still have to be added to the place of the field. Flagged fields have dashed outlines and an exclamation mark.`),
      el("div", { class: "field-maps" }, data.acquisitions.filter((a) => well.F.some((f) => f[0] === a)).map(one))];
  };
  const fieldTable = (well) => {
    const rows = new Map(well.F.map((f) => [el("tr", {}, f.slice(0, -1).map((value, k) => {
      const [, kind] = data.columns[k], isText = kind === "text" || kind === "words";
      return el(k === 0 ? "th" : "td", { ...(k === 0 ? { scope: "row" } : {}), ...(isText ? { class: kind === "words" ? "text flag" : "text" } : {}) }, write(value, kind));
    })), f]));
    const table = el("table", { class: "numbers sorted field-table" }, el("caption", {}, "Fields of all acquisitions. Directions: +y is down, +x is right."),
      el("thead", {}, el("tr", {}, data.columns.map(([title, , meaning], k) => el("th", { scope: "col", ...(["text", "words"].includes(data.columns[k][1]) ? { class: "text" } : {}), ...(k === 0 ? { "aria-sort": "ascending" } : {}) }, el("button", { type: "button", title: meaning }, title))))), el("tbody", {}, [...rows.keys()]));
    sortable(table, (row, column) => {
      const value = rows.get(row)[column];
      return Array.isArray(value) ? value.join(", ") || null : value === "" ? null : value;
    });
    const only = el("input", { type: "checkbox", id: "only-flagged" });
    only.addEventListener("change", () => {
      for (const [row, f] of rows) row.hidden = only.checked && !f[COLUMN.Flags].length;
    });
    const count = well.F.filter((f) => f[COLUMN.Flags].length).length;
    return [el("div", { class: "controls" }, el("label", { class: "check" }, only, ` Only flagged fields (${count} of ${well.F.length})`)),
      el("div", { class: "scroll tall", role: "region", tabindex: "0", "aria-label": "Table of the fields" }, table)];
  };

  const section = (title, content) => el("section", { "aria-label": title }, el("h2", {}, title), content);
  const details = (i) => {
    const well = { ...wells[i], ...read(`well-${i}`) };
    return [
      headOf(i), ...factsOf(well).filter((node) => node !== null),
      section("Pictures", picturesOf(i, pictures(i))), section("Acquisitions against each other", cyclesOf(well)),
      section("Where the fields are", fieldMaps(well)), section("Table of the fields", fieldTable(well)),
    ];
  };

  // ---- the picture viewer

  const viewer = byId("viewer");
  let shown = [[], 0, 0];
  const view = (all, i, k) => {
    const at = (k + all.length) % all.length, picture = all[at];
    shown = [all, i, at];
    byId("viewer-title").textContent = `Well ${wells[i].n}: ${picture.title}`;
    const image = byId("viewer-image");
    image.src = picture.source;
    image.alt = picture.alt;
    image.className = picture.kind === "before" || picture.kind === "after" ? "pixels" : "";
    byId("viewer-text").textContent = `${picture.alt} (${at + 1} of ${all.length})`;
    if (!viewer.open) viewer.showModal();
  };
  const flip = (by) => view(shown[0], shown[1], shown[2] + by);
  byId("viewer-previous").addEventListener("click", () => flip(-1));
  byId("viewer-next").addEventListener("click", () => flip(1));
  byId("viewer-close").addEventListener("click", () => viewer.close());
  viewer.addEventListener("click", (event) => event.target === viewer && viewer.close());
  viewer.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by) flip(by);
  });

  // ---- addresses: #well=B%2F03 is a well, everything else a place in the overview

  let left = null; // where the overview was when a well was opened
  const title = document.title;
  const decoded = (text) => {
    try {
      return decodeURIComponent(text);
    } catch {
      return text;
    }
  };
  const go = () => {
    const match = /^#well=(.*)$/.exec(location.hash);
    const name = match && decoded(match[1]), i = match ? wells.findIndex((w) => w.n === name) : -1;
    if (viewer.open) viewer.close();
    if (i >= 0) {
      if (place.hidden) left = [scrollY, document.activeElement];
      place.replaceChildren(...details(i));
      [overview.hidden, place.hidden] = [true, false];
      document.title = `${name} – ${title}`;
      scrollTo(0, 0);
      place.querySelector("h1").focus({ preventScroll: true });
      return;
    }
    if (place.hidden) return;
    place.replaceChildren();
    [overview.hidden, place.hidden] = [false, true];
    document.title = title;
    const target = location.hash.length > 1 ? byId(location.hash.slice(1)) : null;
    if (target && location.hash !== "#plate") target.scrollIntoView();
    else if (left) {
      scrollTo(0, left[0]);
      left[1]?.focus?.({ preventScroll: true });
    }
  };
  addEventListener("hashchange", go);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !place.hidden && !viewer.open) location.hash = "#plate";
  });

  paint();
  point();
  // The blocks of the wells follow this script, so that the maps and the table need not wait for them.
  document.addEventListener("DOMContentLoaded", () => {
    for (const image of document.querySelectorAll("img[data-picture]")) {
      const [i, k] = image.dataset.picture.split(",").map(Number);
      image.src = pictures(i)[k].source;
    }
    go();
  });
})();
