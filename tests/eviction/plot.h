// A line plot as SVG: what docs/eviction.svg is drawn with.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace gyrator {

struct PlotLine {
  std::string name;
  std::string colour;
  bool dashed = false;
  std::vector<std::pair<double, double>> points;  // by x; one alone is a level across the plot
};

struct PlotText {
  std::string title, x, y;  // of the plot and its axes
};

// REQUIRES: a line with two points or more, and every x and y positive.
std::string DrawPlot(const PlotText& text, const std::vector<PlotLine>& lines);

}  // namespace gyrator
