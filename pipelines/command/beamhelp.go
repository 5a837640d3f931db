package command

import (
	"github.com/spf13/cobra"

	"noisystudent/runners"
)

// beamHelp is the topic `noisystudent help beam`: flags of Beam's own.
func beamHelp() *cobra.Command {
	return &cobra.Command{
		Use:   "beam",
		Short: "Flags that Beam's runners give to this binary when it is a worker",
		Long:  "A runner starts this binary as a worker with flags of Beam's own:\n\n" + runners.BeamFlags(),
	}
}
