"""The sentinel: the main process, which forks, reaps and kills."""
