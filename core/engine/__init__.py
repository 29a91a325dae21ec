"""The training process: the only home of torch. Started as a process, imported by nobody else."""
