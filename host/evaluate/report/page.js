"use strict";
(function () {
  // Tables of class sort: a button in each heading of one column.
  function value(row, column) {
    var cell = row.cells[column], node = cell && cell.firstChild;
    return node ? node.textContent.trim() : "";
  }
  function number(text) {
    return /^[-+]?[\d.]+(e[-+]?\d+)?( .*)?$/.test(text) ? parseFloat(text) : NaN;
  }
  function sort(table, column, down) {
    var body = table.tBodies[0], sign = down ? -1 : 1;
    Array.from(body.rows).map(function (row) {
      return { row: row, text: value(row, column), number: number(value(row, column)) };
    }).sort(function (a, b) {
      var x = isNaN(a.number), y = isNaN(b.number);
      if (x && y) return sign * a.text.localeCompare(b.text);
      if (x || y) return x ? 1 : -1; // what is not defined goes last
      return sign * (a.number - b.number);
    }).forEach(function (r) { body.appendChild(r.row); });
  }
  document.querySelectorAll("table.sort").forEach(function (table) {
    var taken = [], heads = [];
    Array.from(table.tHead.rows).forEach(function (row, r) {
      var column = 0;
      Array.from(row.cells).forEach(function (cell) {
        while (taken[r] && taken[r][column]) column++;
        for (var i = r; i < r + cell.rowSpan; i++)
          for (var j = column; j < column + cell.colSpan; j++) (taken[i] = taken[i] || [])[j] = true;
        if (cell.colSpan === 1 && cell.textContent) heads.push({ cell: cell, column: column });
      });
    });
    heads.forEach(function (head) {
      var button = document.createElement("button");
      button.type = "button";
      while (head.cell.firstChild) button.appendChild(head.cell.firstChild);
      head.cell.appendChild(button);
      button.addEventListener("click", function () {
        var down = head.cell.getAttribute("aria-sort") !== "descending";
        heads.forEach(function (h) { h.cell.removeAttribute("aria-sort"); });
        head.cell.setAttribute("aria-sort", down ? "descending" : "ascending");
        sort(table, head.column, down);
      });
    });
  });

  // The threshold: a slider over the points that the page brings.
  var slider = document.getElementById("slider"), data = document.getElementById("points");
  if (slider && data) {
    var points = JSON.parse(data.textContent);
    var input = slider.querySelector("input"), output = slider.querySelector("output");
    var percent = function (v) { return v === null ? "–" : (100 * v).toFixed(v > 0 && v < 0.0995 || v > 0.9 && v < 1 ? 1 : 0) + " %"; };
    var show = function () {
      var p = points.at[input.value], text = "threshold " + p.threshold.toPrecision(3) + ": false alarms " + percent(p.fpr);
      points.attacks.forEach(function (name, k) { text += (k ? ", " : "; detected: ") + name + " " + percent(p.detected[k]); });
      output.textContent = text + (+input.value === points.own ? " (this detector's)" : "");
      input.setAttribute("aria-valuetext", "threshold " + p.threshold.toPrecision(3));
      document.querySelectorAll("g.moved").forEach(function (g) {
        var d = g.dataset, f = d.log === "true" ? Math.log10 : Number;
        var t = (f(Math.max(p.threshold, +d.lo)) - f(+d.lo)) / (f(+d.hi) - f(+d.lo));
        g.setAttribute("transform", "translate(" + (+d.from + Math.min(Math.max(t, 0), 1) * (d.to - d.from) - d.at).toFixed(1) + " 0)");
      });
    };
    input.max = points.at.length - 1;
    input.value = points.own;
    input.addEventListener("input", show);
    show();
    slider.hidden = false;
  }

  // On paper, what is folded is open.
  var opened = [];
  addEventListener("beforeprint", function () {
    document.querySelectorAll("details:not([open])").forEach(function (d) { d.open = true; opened.push(d); });
  });
  addEventListener("afterprint", function () {
    opened.splice(0).forEach(function (d) { d.open = false; });
  });
})();
