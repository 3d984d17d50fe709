// A data pipeline whose stages are Python plugins, and whose workers are threads of this program.
//
//     pipeline STAGES_FOLDER [WORKERS]   reads lines from stdin, and prints what the stages make of all of them
//
// Each worker takes a line, has one plugin split it into records and another one grade them; both call back into the
// program for a table that it keeps.
#include <atomic>
#include <iostream>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <pyhost.hpp>

namespace {

// The lines of stdin, for any number of workers.
class Lines {
public:
    bool next(std::string &line)
    {
        std::lock_guard<std::mutex> guard(mutex_);
        return static_cast<bool>(std::getline(std::cin, line));
    }

private:
    std::mutex mutex_;
};

// What a worker has found: how many records have which grade.
using Grades = std::map<std::string, int>;

Grades work(const pyhost::Runtime &runtime, Lines &lines, std::atomic<int> &refused)
{
    pyhost::Function split = runtime.function("split.records"), grade = runtime.function("grade.grade");
    Grades grades;
    std::string line;
    while (lines.next(line)) {
        try {
            for (const auto &[city, value] : split.call<std::vector<std::pair<std::string, double>>>(line)) {
                grades[grade.call<std::string>(city, value)]++;
            }
        } catch (const pyhost::Error &error) {
            std::cerr << "skipped \"" << line << "\": " << error.what() << '\n';
            refused++;
        }
    }
    return grades;
}

int run(const std::string &stages, int workers)
{
    const std::map<std::string, double> usual = {{"Oslo", 5.0}, {"Cairo", 25.0}, {"Quito", 14.0}};
    pyhost::offer("usual", [&](const std::string &city) -> std::optional<double> {
        auto place = usual.find(city);
        return place != usual.end() ? std::optional(place->second) : std::nullopt;
    });
    pyhost::Runtime runtime{{stages}};
    Lines lines;
    std::atomic<int> refused{0};
    std::vector<std::thread> threads;
    std::vector<Grades> found(static_cast<std::size_t>(workers));
    for (Grades &grades : found) {
        threads.emplace_back([&] { grades = work(runtime, lines, refused); });
    }
    for (std::thread &thread : threads) {
        thread.join();
    }
    Grades total;
    for (const Grades &grades : found) {
        for (const auto &[name, count] : grades) {
            total[name] += count;
        }
    }
    for (const auto &[name, count] : total) {
        std::cout << name << ' ' << count << '\n';
    }
    runtime.stop();
    return refused == 0 ? 0 : 3;
}

} // namespace

int main(int argc, char **argv)
{
    if (argc < 2) {
        std::cerr << "usage: pipeline STAGES_FOLDER [WORKERS]\n";
        return 2;
    }
    try {
        return run(argv[1], argc > 2 ? std::stoi(argv[2]) : 8);
    } catch (const pyhost::Error &error) {
        std::cerr << error.what() << '\n' << error.traceback();
        return 1;
    }
}
